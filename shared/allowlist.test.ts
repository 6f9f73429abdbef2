import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { AllowList } from "./allowlist.ts";
import { FakeBucket } from "./allowlist_fake_bucket.ts";
import { bucketPlaces } from "./allowlist_object.ts";
import { listPlace, openPlaces } from "./allowlist_place.ts";

const thumbprint = (number: number) => String(number).padStart(43, "x");
const list = (count: number) =>
  Array.from({ length: count }, (_, i) => `${thumbprint(i)} device-${i} site=s${i % 100}\n`).join(
    "",
  );

/** A bucket with a list, and the pauses of those who read it, each until it is let go on. */
function setUp(text: string) {
  const bucket = new FakeBucket();
  bucket.objects.set("devices", text);
  const waiting: Array<() => void> = [];
  let ms = 0;
  const slices = {
    nowMs: () => ms += 10, // Slower than a slice: a pause at each look.
    pause: () => new Promise<void>((resolve) => void waiting.push(resolve)),
  };
  return { bucket, place: bucketPlaces(bucket, "").at("devices"), slices, waiting };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("an allow-list lets others have their turn while it is read, and is the old one until the end", async () => {
  const { bucket, place, slices, waiting } = setUp(list(1));
  const allowed = await AllowList.open(place, slices);
  bucket.objects.set("devices", list(1_000).replace(/^.*\n/, ""));
  const reload = allowed.reload();
  let pauses = 0;
  let isDone = false;
  void reload.then(() => isDone = true);
  for (; !isDone; await turn()) {
    const resume = waiting.shift();
    if (!resume) continue;
    pauses++;
    expect([allowed.size, allowed.get(thumbprint(0))?.name]).toEqual([1, "device-0"]);
    resume();
  }
  expect(pauses).toBe(Math.floor(999 / 64));
  expect([await reload, allowed.size, allowed.get(thumbprint(0))]).toEqual([true, 999, undefined]);
});

test("an allow-list is looked at once at a time, whoever asks", async () => {
  const { bucket, place, slices, waiting } = setUp(list(100));
  const opening = AllowList.open(place, slices);
  while (waiting.length === 0) await turn();
  waiting.shift()!();
  const allowed = await opening;
  const before = bucket.transfers;
  bucket.objects.set("devices", list(200));
  const looks = [allowed.reload(), allowed.reload()];
  let isDone = false;
  void Promise.all(looks).then(() => isDone = true);
  for (; !isDone; await turn()) waiting.shift()?.();
  expect([await looks[0], await looks[1], allowed.size]).toEqual([true, true, 200]);
  expect(bucket.transfers - before).toBe(1);
  expect(await allowed.reload()).toBe(false);
});

test("an allow-list of 100,000 devices is read in full without holding up the event loop", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, list(100_000));
  const allowed = await AllowList.open(listPlace(await openPlaces(folder.path)));
  expect(allowed.size).toBe(100_000);
  writeFileSync(path, list(100_001));
  let turns = 0;
  const reload = allowed.reload();
  let isDone = false;
  void reload.then(() => isDone = true);
  for (; !isDone; await turn()) turns++;
  expect([await reload, allowed.size]).toEqual([true, 100_001]);
  // In one go it would be one.
  expect(turns).toBeGreaterThan(10);
});

test("an allow-list's place is --allow's file, or `devices` in --data, a folder or a bucket", async () => {
  const folder = await openPlaces("/var/lib/logmill");
  expect(listPlace(folder).name).toBe("/var/lib/logmill/devices");
  expect(listPlace(folder, "/etc/logmill/devices").name).toBe("/etc/logmill/devices");
  const bucket = await openPlaces("s3://fleet/logs/prod/", { "s3-endpoint": "http://127.0.0.1:1" });
  expect(listPlace(bucket).name).toBe("s3://fleet/logs/prod/devices");
  expect(listPlace(await openPlaces("s3://fleet")).name).toBe("s3://fleet/devices");
});
