import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "bun:test";
import { UsageError } from "../../shared/options.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { ArchiverChild, archiverOf } from "./child.ts";

async function until(check: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !check(); i++) await sleep(10);
  expect(check()).toBe(true);
}

test("a grinder's archiver that died is started again, and that is said", async () => {
  const said: string[] = [];
  await using _child = new ArchiverChild({
    command: ["sh", "-c", "exit 3"],
    args: [],
    report: (text) => said.push(text),
    restartMs: 1,
  });
  await until(() => said.length >= 2);
  expect(said[0]).toBe("the archiver ended (status 3); it is started again in 0.001 s");
});

test("a grinder's archiver that can't be started is no error of the grinder's", async () => {
  const said: string[] = [];
  await using _child = new ArchiverChild({
    command: ["/nowhere/deno"],
    args: [],
    report: (text) => said.push(text),
  });
  await until(() => said.length > 0);
  expect(said[0]).toContain("ENOENT");
});

test("a grinder's archiver is told to end with the grinder, and is waited for", async () => {
  using folder = new TemporaryFolder();
  const out = join(folder.path, "said");
  const script =
    `trap 'echo told >> ${out}; exit 0' TERM; echo began >> ${out}; while :; do sleep 0.01; done`;
  {
    await using _child = new ArchiverChild({
      command: ["sh", "-c", script],
      args: [],
      report: () => {},
    });
    await until(() => readable(out) === "began\n");
  }
  expect(readable(out)).toBe("began\ntold\n");
});

function readable(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

test("a grinder has no archiver unless it is asked for, and refuses options that need one", () => {
  expect(archiverOf({ data: "./data", archive: false }, () => {})).toBeUndefined();
  expect(() => archiverOf({ data: "./data", archive: false, keep: "60d" }, () => {}))
    .toThrow("Cannot use --keep because --archive must be given as well");
  expect(() => archiverOf({ data: "./data", archive: true, "keep-hot": "x" }, () => {}))
    .toThrow(UsageError);
});
