import { rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { DeviceLabels } from "./device_labels.ts";

const thumbprint = (letter: string) => letter.repeat(43);

test("device labels are those of the allow-list, read again when it changes", () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  const labels = new DeviceLabels(path);
  expect(labels.of("ap-1")).toEqual({});
  writeFileSync(path, `${thumbprint("a")} ap-1 city=bern model=x2\n`);
  labels.reload();
  expect([labels.of("ap-1"), labels.of("ap-2")]).toEqual([{ city: "bern", model: "x2" }, {}]);
  writeFileSync(path, `${thumbprint("a")} ap-1 city=basel\n`);
  utimesSync(path, new Date(), new Date(Date.now() + 1000));
  labels.reload();
  expect(labels.of("ap-1")).toEqual({ city: "basel" });
});

test("device labels stay as they are while the allow-list isn't there", () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, `${thumbprint("a")} ap-1 city=bern\n`);
  const labels = new DeviceLabels(path);
  rmSync(path);
  labels.reload();
  expect(labels.of("ap-1")).toEqual({ city: "bern" });
});
