import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { afterEach, describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { journaldForwards, journaldProblem } from "./journald.ts";

const yes = "[Journal]\nForwardToKMsg=yes\n";
const no = "[Journal]\nForwardToKMsg=no\n";
const etc = "etc/systemd/journald.conf";
const usr = "usr/lib/systemd/journald.conf";

/** Files of a root folder, by path. */
function rootOf(files: Record<string, string>): TemporaryFolder {
  const folder = new TemporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder.path, path)), { recursive: true });
    writeFileSync(join(folder.path, path), text);
  }
  return folder;
}

function forwards(files: Record<string, string>): string | undefined {
  using root = rootOf(files);
  return journaldForwards(root.path);
}

describe("journald", () => {
  test("forwards only where something says so", () => {
    expect(forwards({})).toBeUndefined();
    expect(forwards({ [etc]: "[Journal]\n#ForwardToKMsg=yes\nStorage=auto\n" })).toBeUndefined();
    expect(forwards({ [etc]: "ForwardToKMsg=yes\n[Other]\nForwardToKMsg=yes\n" })).toBeUndefined();
    expect(forwards({ [etc]: yes })).toBe(`/${etc}`);
    expect(forwards({ [usr]: yes })).toBe(`/${usr}`);
  });

  test("reads booleans in all of systemd's ways, and passes over others", () => {
    for (const word of ["yes", "1", "TRUE", "on", "t", "Y"]) {
      expect(forwards({ [etc]: `[Journal]\r\n ForwardToKMsg = ${word} \r\n` })).toBe(`/${etc}`);
    }
    for (const word of ["", "perhaps", "yes please"]) {
      expect(forwards({ [etc]: `${yes}ForwardToKMsg=${word}\n` })).toBe(`/${etc}`);
    }
    expect(forwards({ [etc]: `${yes}ForwardToKMsg=off\n` })).toBeUndefined();
  });

  test("has one main file, and more that count after it, by name", () => {
    expect(forwards({ [etc]: no, [usr]: yes })).toBeUndefined();
    expect(forwards({ [etc]: "", [usr]: yes })).toBeUndefined();
    expect(forwards({ [etc]: no, [`${usr}.d/10-a.conf`]: yes })).toBe(`/${usr}.d/10-a.conf`);
    expect(forwards({ [`${usr}.d/10-a.conf`]: no, [etc]: yes })).toBeUndefined();
    const run = "run/systemd/journald.conf.d/20-b.conf";
    expect(forwards({ [run]: yes, [`${etc}.d/10-a.conf`]: no })).toBe(`/${run}`);
    expect(forwards({ [run]: yes, [`${etc}.d/30-c.conf`]: no })).toBeUndefined();
    expect(forwards({ [`${etc}.d/30-c.conf.bak`]: yes })).toBeUndefined();
  });

  test("has files that mask those of the same name", () => {
    const [mine, theirs] = [`${etc}.d/10-a.conf`, `${usr}.d/10-a.conf`];
    expect(forwards({ [theirs]: yes, [mine]: "" })).toBeUndefined();
    using root = rootOf({ [theirs]: yes });
    mkdirSync(join(root.path, `${etc}.d`), { recursive: true });
    symlinkSync("/dev/null", join(root.path, mine));
    expect(journaldForwards(root.path)).toBeUndefined();
  });

  test("does as the kernel's command line says, whatever its files say", () => {
    const option = "systemd.journald.forward_to_kmsg";
    const cmdline = (text: string) => ({ "proc/cmdline": `quiet ${text} ro\n` });
    expect(forwards(cmdline(option))).toBe("/proc/cmdline");
    expect(forwards(cmdline(`${option}=1`))).toBe("/proc/cmdline");
    expect(forwards({ ...cmdline(`${option}=no`), [etc]: yes })).toBeUndefined();
    expect(forwards({ ...cmdline(`${option}s=no`), [etc]: yes })).toBe(`/${etc}`);
  });
});

describe("what logos says of journald", () => {
  const old = process.env["JOURNAL_STREAM"];
  afterEach(() => {
    if (old === undefined) delete process.env["JOURNAL_STREAM"];
    else process.env["JOURNAL_STREAM"] = old;
  });

  test("is what to do, where it forwards and this program's output is the journal's", () => {
    using root = rootOf({ [etc]: yes });
    process.env["JOURNAL_STREAM"] = "8:1234";
    const problem = journaldProblem(root.path, ["8:1", "8:1234"]);
    expect(problem).toContain(`ForwardToKMsg=yes in /${etc}`);
    expect(problem).toContain("systemctl restart systemd-journald");
    using booted = rootOf({ "proc/cmdline": "systemd.journald.forward_to_kmsg" });
    expect(journaldProblem(booted.path, ["8:1234"])).toContain("command line and start again");
  });

  test("is nothing where one of the two isn't so", () => {
    using quiet = rootOf({ [etc]: no });
    using root = rootOf({ [etc]: yes });
    process.env["JOURNAL_STREAM"] = "8:1234";
    expect(journaldProblem(quiet.path, ["8:1234"])).toBeUndefined();
    expect(journaldProblem(root.path, ["8:1"])).toBeUndefined();
    delete process.env["JOURNAL_STREAM"];
    expect(journaldProblem(root.path)).toBeUndefined();
  });
});
