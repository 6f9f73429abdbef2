import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { FakeBucket } from "../shared/allowlist_fake_bucket.ts";
import { bucketPlaces } from "../shared/allowlist_object.ts";
import { folderPlaces, listPlace, type Places } from "../shared/allowlist_place.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { runDeviceCommand } from "./devices.ts";

const [A, B, C] = ["A", "B", "C"].map((letter) => letter.repeat(43)) as [string, string, string];
const nowMs = Date.UTC(2026, 10, 22, 12);

/** Runs a command; gives its exit status and what it said. */
function run(places: Places, allow?: string) {
  return async (word: string, words: string[] = [], device?: string, label: string[] = []) => {
    const out: string[] = [];
    const err: string[] = [];
    const list = listPlace(places, allow);
    const streams = { out: (s: string) => out.push(s), err: (s: string) => err.push(s) };
    const status = await runDeviceCommand(
      word,
      words,
      { list, places, nowMs, device, label },
      streams,
    );
    return [status, out.join("\n"), err.join("\n")] as const;
  };
}

for (const kind of ["a folder", "a bucket"]) {
  test(`devices are let in, listed with their labels and shut out in ${kind}`, async () => {
    using folder = new TemporaryFolder();
    const data = join(folder.path, "data");
    const places = kind === "a folder" ? folderPlaces(data) : bucketPlaces(new FakeBucket(), "x/");
    const { name } = listPlace(places);
    const receiver = run(places);
    expect(await receiver("devices")).toEqual([0, `no devices in ${name}`, ""]);
    expect(await receiver("allow", [A], "kiosk-7", ["site=north", "url=http://x?a=b"]))
      .toEqual([0, "kiosk-7 is let in", ""]);
    expect(await receiver("allow", [A], "kiosk-7", ["site=north", "url=http://x?a=b"]))
      .toEqual([0, "kiosk-7 is let in", ""]);
    expect(await receiver("allow", [B], "kiosk-8")).toEqual([0, "kiosk-8 is let in", ""]);
    expect(await receiver("devices"))
      .toEqual([0, `${A} kiosk-7 site=north url=http://x?a=b\n${B} kiosk-8`, ""]);
    expect(await receiver("revoke", ["kiosk-7"])).toEqual([0, "kiosk-7 is shut out", ""]);
    expect(await receiver("revoke", [B])).toEqual([0, `${B} is shut out`, ""]);
    expect(await receiver("devices")).toEqual([0, `no devices in ${name}`, ""]);
  });
}

test("device commands that are asked wrongly end with 2, those that can't be done with 1", async () => {
  using folder = new TemporaryFolder();
  const receiver = run(folderPlaces(folder.path));
  expect(await receiver("allow", [A])).toEqual([2, "", "Usage: allow THUMBPRINT --device NAME"]);
  expect(await receiver("allow", [], "x")).toEqual([
    2,
    "",
    "Usage: allow THUMBPRINT --device NAME",
  ]);
  expect(await receiver("allow", [A], "x", ["=v"])).toEqual([
    2,
    "",
    expect.stringMatching(/must be KEY=VALUE/),
  ]);
  expect(await receiver("revoke")).toEqual([2, "", "Usage: revoke THUMBPRINT|NAME"]);
  expect(await receiver("revoke", ["nobody"])).toEqual([
    2,
    "",
    expect.stringMatching(/isn't in .*devices/),
  ]);
  expect(await receiver("allow", ["short"], "x")).toEqual([
    1,
    "",
    expect.stringMatching(/43 characters/),
  ]);
  await receiver("allow", [A], "x");
  expect(await receiver("allow", [B], "x")).toEqual([
    1,
    "",
    expect.stringMatching(/receiver revoke/),
  ]);
});

test("device commands say which list can't be reached", async () => {
  const bucket = new FakeBucket();
  bucket.reachable = false;
  const receiver = run(bucketPlaces(bucket, "x/"));
  for (const [word, words] of [["allow", [A]], ["revoke", [A]], ["devices", []]] as const) {
    const [status, out, err] = await receiver(word, [...words], "kiosk-7");
    expect([status, out]).toEqual([1, ""]);
    expect(err).toMatch(/s3:\/\/fake\/x\/devices .*ECONNREFUSED/);
  }
});

test("devices are those of --allow's file, while knocks are in --data", async () => {
  using folder = new TemporaryFolder();
  const allow = join(folder.path, "etc/devices");
  const bucket = new FakeBucket();
  const receiver = run(bucketPlaces(bucket, ""), allow);
  await receiver("allow", [A], "kiosk-7");
  expect(readFileSync(allow, "utf8")).toBe(`${A} kiosk-7\n`);
  const times = "2026-11-22T11:00:00.000Z 2026-11-22T11:30:00.000Z";
  bucket.objects.set("knocked/r1", `${B} 192.0.2.7 ${times} 3\n`);
  expect((await receiver("devices"))[1]).toContain(`knocked: ${B}`);
});

test("devices show who knocked and how to let it in, those that are let in aside", async () => {
  using folder = new TemporaryFolder();
  const receiver = run(folderPlaces(folder.path));
  await receiver("allow", [A], "kiosk-7");
  const times = "2026-11-22T11:00:00.000Z 2026-11-22T11:30:00.000Z";
  mkdirSync(join(folder.path, "knocked"));
  writeFileSync(
    join(folder.path, "knocked/r1"),
    `${A} 192.0.2.6 ${times} 9\n${B} 192.0.2.7 ${times} 3\n${C} - ${times} 1\nforgotten 12\n`,
  );
  expect(await receiver("devices")).toEqual([
    0,
    [
      `${A} kiosk-7`,
      `knocked: ${B} from 192.0.2.7, 3 times, last 2026-11-22T11:30:00.000Z; ` +
      `let it in with \`receiver allow ${B} --device NAME\``,
      `knocked: ${C} from -, once, last 2026-11-22T11:30:00.000Z; ` +
      `let it in with \`receiver allow ${C} --device NAME\``,
      "knocked: 12 times more, by keys not kept here",
    ].join("\n"),
    "",
  ]);
});

test("devices are listed with what is wrong in the list, and without knocks that can't be read", async () => {
  using folder = new TemporaryFolder();
  const receiver = run(folderPlaces(folder.path));
  writeFileSync(join(folder.path, "devices"), `${A} kiosk-7\nrubbish\n`);
  mkdirSync(join(folder.path, "knocked/r1"), { recursive: true });
  const [status, out, err] = await receiver("devices");
  expect([status, out]).toEqual([0, `${A} kiosk-7`]);
  expect(err).toMatch(/devices: line 2: .*\nCannot read who knocked: /);
});
