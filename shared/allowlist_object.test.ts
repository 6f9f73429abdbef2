import { expect, test } from "bun:test";
import { AllowList } from "./allowlist.ts";
import { testPlaces } from "./allowlist_contract.ts";
import { addDevice, removeDevice } from "./allowlist_edit.ts";
import { FakeBucket } from "./allowlist_fake_bucket.ts";
import { bucketPlaces } from "./allowlist_object.ts";

testPlaces("a bucket", () => {
  const bucket = new FakeBucket();
  return Promise.resolve({
    places: bucketPlaces(bucket, "fleet/"),
    reopen: () => Promise.resolve(bucketPlaces(bucket, "fleet/")),
    breakDown() {
      bucket.reachable = false;
      return () => bucket.reachable = true;
    },
    cleanup: () => Promise.resolve(),
  });
});

const device = { thumbprint: "A".repeat(43), name: "one", labels: {} };

test("an object's key is its name below the prefix, and messages have all of it", async () => {
  const bucket = new FakeBucket();
  const place = bucketPlaces(bucket, "fleet/").at("devices");
  await addDevice(place, device);
  expect([...bucket.objects.keys()]).toEqual(["fleet/devices"]);
  expect(place.name).toBe("s3://fake/fleet/devices");
});

test("an object that stays as it is is transferred once, however often it is looked at", async () => {
  const bucket = new FakeBucket();
  const place = bucketPlaces(bucket, "").at("devices");
  await addDevice(place, device);
  const before = bucket.transfers;
  const list = await AllowList.open(place);
  for (let look = 0; look < 5; look++) await list.reload();
  expect(bucket.transfers - before).toBe(1);
});

test("an edit whose answer got lost counts as made, and is made once", async () => {
  const bucket = new FakeBucket();
  const place = bucketPlaces(bucket, "").at("devices");
  await addDevice(place, { ...device, thumbprint: "B".repeat(43), name: "two" });
  bucket.losesAnswer = true;
  await addDevice(place, device);
  expect(bucket.losesAnswer).toBe(false);
  expect(bucket.objects.get("devices")!.match(/ one\n/g)!.length).toBe(1);
  bucket.losesAnswer = true;
  expect(await removeDevice(place, "one")).toBe(1);
  expect(bucket.objects.get("devices")).toBe(`${"B".repeat(43)} two\n`);
});
