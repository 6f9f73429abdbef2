import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { addDevice } from "../shared/allowlist_edit.ts";
import { FilePlace } from "../shared/allowlist_file.ts";
import { readBlocks } from "../shared/block.ts";
import { forEachRecord } from "../shared/record.ts";
import { readNew } from "../shared/segment_reader.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, killAll, root, startReceiver } from "../tests/programs.ts";

const folder = new TemporaryFolder();
let binary: string;

beforeAll(() => {
  const out = join(folder.path, "dist");
  const { status, stdout, stderr } = spawnSync(
    bunPath,
    ["run", "--silent", "build:agent", "--out", out],
    { cwd: root, encoding: "utf8" },
  );
  expect([status, stderr]).toEqual([0, ""]);
  const built = readdirSync(out);
  expect(built.length).toBe(1);
  expect(built[0]).toMatch(/^logmill-agent-linux-(x64|arm64)(-musl)?$/);
  binary = join(out, built[0]!);
  expect(stdout).toMatch(new RegExp(`^${binary}: \\d+ MB\n$`));
});
afterAll(() => {
  killAll();
  folder[Symbol.dispose]();
});

/** With an empty environment, in this folder. */
function run(args: string[], cwd: string, [command, ...before]: string[] = [binary], input = "") {
  const all = [...before, ...args];
  const options = { cwd, input, env: {}, encoding: "utf8" } as const;
  const { status, stdout, stderr } = spawnSync(command!, all, options);
  return { status, stdout, stderr };
}

function newFolder(name: string): string {
  const path = join(folder.path, name);
  mkdirSync(path, { recursive: true });
  return path;
}

describe("the compiled agent", () => {
  test("is one file of a size that is known", () => {
    const size = statSync(binary).size;
    console.log(`logmill-agent: ${(size / 1e6).toFixed(1)} MB`);
    expect(size).toBeGreaterThan(50e6);
    expect(size).toBeLessThan(120e6);
    expect(statSync(binary).mode & 0o111).toBe(0o111);
  });

  test("says what it can do in an empty folder, with an empty environment", () => {
    const { status, stdout, stderr } = run(["--help"], newFolder("empty"));
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toStartWith("Usage: logmill-agent");
  });

  test("makes an identity there, and nothing else", () => {
    const cwd = newFolder("identity");
    const first = run(["identity", "--state", "state"], cwd);
    expect(first).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^[\w-]{43}\n$/),
      stderr: "",
    });
    expect(run(["identity", "--state", "state"], cwd)).toEqual(first);
    expect(readdirSync(cwd)).toEqual(["state"]);
    expect(readdirSync(join(cwd, "state")).sort()).toEqual(["device.crt", "device.key"]);
  });

  test("isn't told anything by a .env or a bunfig.toml where it is started", () => {
    const cwd = newFolder("told");
    writeFileSync(join(cwd, ".env"), "STATE_DIRECTORY=/from/dotenv\n");
    writeFileSync(join(cwd, "bunfig.toml"), `preload = ["./evil.ts"]\n`);
    writeFileSync(join(cwd, "evil.ts"), `console.log("evil");`);
    const { stdout } = run(["--help"], cwd);
    expect(stdout).not.toContain("/from/dotenv");
    expect(stdout).not.toContain("evil");
  });

  test.skipIf(!canChroot())(
    "ships lines with nothing but its libraries, /proc and /dev",
    async () => {
      const jail = newFolder("jail");
      cpSync(binary, join(jail, "logmill-agent"));
      for (const library of libraries(binary)) {
        mkdirSync(join(jail, dirname(library)), { recursive: true });
        cpSync(library, join(jail, library), { dereference: true });
      }
      for (const point of ["proc", "dev"]) mkdirSync(join(jail, point));
      // The mounts are in a namespace of their own, and end with it.
      const mount = `mount -t proc proc proc && mount --rbind /dev dev && exec chroot . "$@"`;
      const inJail = [
        "/usr/bin/unshare",
        "--mount",
        "--pid",
        "--fork",
        "/bin/sh",
        "-c",
        mount,
        "sh",
      ];
      const command = [...inJail, "/logmill-agent"];
      expect(run(["--help"], jail, command).stdout).toStartWith("Usage: logmill-agent");
      const made = run(["identity", "--state", "/state"], jail, command);
      expect(made).toEqual({
        status: 0,
        stdout: expect.stringMatching(/^[\w-]{43}\n$/),
        stderr: "",
      });
      expect(readdirSync(join(jail, "state")).sort()).toEqual(["device.crt", "device.key"]);

      // The whole way: a receiver outside lets it in and stores its lines.
      const data = newFolder("data");
      await addDevice(new FilePlace(join(data, "devices")), {
        thumbprint: made.stdout.trim(),
        name: "jailed",
        labels: {},
      });
      const receiver = await startReceiver(data, "--port", "0");
      const ship = ["--state", "/state", "--source", "stdin", "--receiver", receiver.url];
      const shipped = run(ship, jail, command, "one\ntwo\n");
      expect([shipped.status, shipped.stdout]).toEqual([0, ""]);
      await receiver.program.stop();
      const texts: string[] = [];
      for await (const { text } of readNew(new FolderStorage(data), new Map())) {
        for (const block of readBlocks(text ?? "")) {
          expect(block.header).toMatchObject({ device: "jailed", source: "app:stdin" });
          forEachRecord(block.text, ({ flag, text }) => flag === "-" && texts.push(text), () => {});
        }
      }
      expect(texts).toEqual(["one", "two"]);
    },
    60_000,
  );
});

describe("a build", () => {
  test("for a target that isn't known names those that are", () => {
    const { status, stderr } = run(["--target", "vax"], root, [bunPath, "agent/build.ts"]);
    expect(status).toBe(1);
    expect(stderr).toContain("must be one of linux-x64, ");
    expect(stderr).toContain("it is vax");
  });
});

function canChroot(): boolean {
  if (process.getuid?.() !== 0) return false;
  const args = ["--mount", "--pid", "--fork", "mount", "-t", "proc", "proc", "/proc"];
  return spawnSync("unshare", args).status === 0;
}

/** The loader and the libraries, as ldd names them. */
function libraries(path: string): string[] {
  const { stdout } = spawnSync("ldd", [path], { encoding: "utf8" });
  return [...stdout.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, library]) => library!);
}
