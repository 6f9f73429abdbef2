import { rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { listPlace, openPlaces } from "../shared/allowlist_place.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { DeviceLabels } from "./device_labels.ts";

const thumbprint = (letter: string) => letter.repeat(43);
const open = async (folder: TemporaryFolder) =>
  await DeviceLabels.open(listPlace(await openPlaces(folder.path)));

test("device labels are those of the allow-list, read again when it changes", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  const labels = await open(folder);
  expect(labels.of("ap-1")).toEqual({});
  writeFileSync(path, `${thumbprint("a")} ap-1 city=bern model=x2\n`);
  await labels.reload();
  expect([labels.of("ap-1"), labels.of("ap-2")]).toEqual([{ city: "bern", model: "x2" }, {}]);
  writeFileSync(path, `${thumbprint("a")} ap-1 city=basel\n`);
  utimesSync(path, new Date(), new Date(Date.now() + 1000));
  await labels.reload();
  expect(labels.of("ap-1")).toEqual({ city: "basel" });
});

test("device labels stay as they are while the allow-list isn't there, however long", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, `${thumbprint("a")} ap-1 city=bern\n`);
  const labels = await open(folder);
  rmSync(path);
  for (let look = 0; look < 3; look++) await labels.reload();
  expect(labels.of("ap-1")).toEqual({ city: "bern" });
  writeFileSync(path, `${thumbprint("b")} ap-2 city=bonn\n`);
  await labels.reload();
  expect([labels.of("ap-1"), labels.of("ap-2")]).toEqual([{}, { city: "bonn" }]);
});
