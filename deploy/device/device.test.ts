/** What can be said of these files without a device: the real tools read them. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { examine } from "../../agent/doctor.ts";
import { plant, wellKept } from "../../agent/doctor/trees.ts";
import { options } from "../../agent/command_line.ts";
import { parseOptions } from "../../shared/options.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";

const here = import.meta.dirname;
const read = (path: string) => readFileSync(join(here, path), "utf8");
const has = (program: string) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

describe("the kernel's command line", () => {
  /** What a shell makes of a file for GRUB, and GRUB of that. */
  function grubWords(): string {
    const script = `. ${join(here, "boot/grub.cfg")}; printf %s "$GRUB_CMDLINE_LINUX"`;
    return execFileSync("sh", ["-c", script], { encoding: "utf8" }).replaceAll("\\$", "$").trim();
  }
  const lastLine = (path: string) =>
    read(path).trim().split("\n").at(-1)!.replace(/^ *APPEND /, "");

  test("of a PC sets aside what ramoops is told of", () => {
    const words = grubWords().split(" ");
    expect(words).toContain("memmap=32M$0x30000000");
    expect(words).toContain("ramoops.mem_address=0x30000000");
    expect(words).toContain(`ramoops.mem_size=0x${(32 * 1024 ** 2).toString(16)}`);
    // The ring's size, and half of the memory.
    expect(words).toContain("log_buf_len=16M");
    expect(words).toContain(`ramoops.record_size=0x${(16 * 1024 ** 2).toString(16)}`);
  });

  for (
    const [name, words] of [
      ["a PC", grubWords()],
      ["a board with extlinux", lastLine("boot/extlinux.conf")],
      ["a Raspberry Pi", lastLine("boot/cmdline.txt")],
    ] as const
  ) {
    test(`of ${name} is one to which the doctor has nothing to add`, () => {
      using folder = new TemporaryFolder();
      plant(folder.path, { ...wellKept, "proc/cmdline": words });
      const { text, status } = examine(folder.path, { state: "/var/lib/logmill", run: undefined });
      expect(status).toBe(0);
      expect(text).not.toInclude("the kernel's command line");
      const ring = JSON.parse(
        examine(folder.path, { state: "/", run: undefined }, { json: true }).text,
      ).ring;
      expect(ring.bytes).toBe(words.includes("16M") ? 16 * 1024 ** 2 : 4 * 1024 ** 2);
      expect(words).toContain("printk.devkmsg=on panic=1 oops=panic softlockup_panic=1");
    });
  }
});

if (!has("dtc")) console.log("device trees aren't compiled here: there is no dtc");

test.skipIf(!has("dtc"))("the device trees compile, without a warning", () => {
  const head = "/dts-v1/;\n/ { #address-cells = <1>; #size-cells = <1>; };\n";
  const parts = readdirSync(join(here, "devicetree")).map((file) => read(`devicetree/${file}`));
  expect(parts.length).toBe(2);
  const dtc = spawnSync("dtc", ["-I", "dts", "-O", "dts"], {
    input: head + parts.join(""),
    encoding: "utf8",
  });
  expect([dtc.stderr, dtc.status]).toEqual(["", 0]);
  expect(dtc.stdout).toInclude('compatible = "ramoops";');
  expect(dtc.stdout).toInclude('compatible = "pmem-region";');
});

describe("the agent's options", () => {
  const words = (line: string) => line.trim().split(/\s+/);
  const good = (line: string) => parseOptions(options, words(line)).positionals;

  test("in its unit are some that it takes", () => {
    const unit = read("systemd/logmill-agent.service");
    const [, start] = /^ExecStart=\/usr\/bin\/logmill-agent (.*)$/m.exec(unit)!;
    const spool = "--spool /run/logmill-pmem --spool-eager --spool-bytes 12000000";
    const whole = start!.replace("$SPOOL", spool).replace("$OPTIONS", "--receiver http://r:1");
    expect(good(whole)).toEqual(["run"]);
  });

  test("in OpenWrt's script are some that it takes, and procd's words are as they should be", () => {
    const script = join(here, "openwrt/logmill-agent.init");
    // In the place of /etc/rc.common and procd.
    const stubs = "procd_open_instance() { :; }; procd_close_instance() { :; }\n" +
      'procd_set_param() { echo "$@"; }\n';
    const out = spawnSync("sh", ["-c", `${stubs} . ${script}; start_service`], {
      encoding: "utf8",
    });
    expect([out.stderr, out.status]).toEqual(["", 0]);
    const [command, ...params] = out.stdout.trimEnd().split("\n");
    const [, options] = /^command \/usr\/bin\/logmill-agent (.*)$/.exec(command!)!;
    expect(good(options!)).toEqual(["run"]);
    expect(params).toEqual(["respawn 3600 1 0", "stderr 1", "term_timeout 10"]);
  });
});

if (!has("systemd-analyze")) console.log("units aren't verified here: there is no systemd-analyze");

test.skipIf(!has("systemd-analyze"))("systemd finds nothing wrong with the units", () => {
  using folder = new TemporaryFolder();
  const units = readdirSync(join(here, "systemd"));
  expect(units.length).toBe(3);
  for (const unit of units) {
    // It wants programs to be there.
    const text = read(`systemd/${unit}`).replaceAll(
      /=\/usr\/(?:bin|lib)\/logmill\S*/g,
      "=/bin/true",
    );
    writeFileSync(join(folder.path, unit), text);
  }
  const paths = units.map((unit) => join(folder.path, unit));
  const { stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", ...paths], {
    encoding: "utf8",
  });
  expect(stderr.split("\n").filter((line) => line.includes("logmill"))).toEqual([]);
});

/** A file as a block device: the next best thing to memory. */
function loopProblem(): string | undefined {
  const missing = ["losetup", "mkfs.ext4", "blkid", "busybox"].filter((program) => !has(program));
  if (missing.length > 0) return `there is no ${missing.join(", ")}`;
  if (process.getuid!() !== 0) return "this isn't root";
  return spawnSync("losetup", ["-f"]).status === 0 ? undefined : "there is no loop device";
}

const problem = loopProblem();
if (problem) console.log(`no spool is made on a block device here: ${problem}`);

describe.skipIf(problem !== undefined)("the spool on a block device", () => {
  const folder = new TemporaryFolder();
  const image = join(folder.path, "image");
  const mounted = join(folder.path, "mounted");
  let device = "";
  afterAll(() => {
    spawnSync("umount", [mounted]);
    if (device) spawnSync("losetup", ["-d", device]);
    folder[Symbol.dispose]();
  });
  const script = (...more: string[]) => {
    const args = ["sh", join(here, "pmem-spool.sh"), device, mounted, ...more];
    const { status, stderr } = spawnSync("busybox", args, { encoding: "utf8" });
    return { status, said: stderr.trim() };
  };
  const umount = () => execFileSync("umount", [mounted]);

  /** An empty device; where there is one, it goes. */
  function insert(bytes: number): void {
    if (device) spawnSync("losetup", ["-d", device]);
    writeFileSync(image, new Uint8Array(bytes));
    device = execFileSync("losetup", ["-f", "--show", image], { encoding: "utf8" }).trim();
  }

  test("gets a file system at the first time, and tells the agent of it", () => {
    insert(16 * 1024 ** 2);
    expect(script()).toEqual({ status: 0, said: `pmem-spool: ${device} has a new file system` });
    const [, bytes] = /^SPOOL="--spool \S+ --spool-eager --spool-bytes (\d+)"\n$/
      .exec(readFileSync(`${mounted}.env`, "utf8"))!;
    expect(Number(bytes)).toBeGreaterThan(11 * 1024 ** 2);
    // A segment more than that fits, too.
    const fill = () =>
      writeFileSync(join(mounted, "fill"), new Uint8Array(Number(bytes) * 17 / 16));
    expect(fill).not.toThrow();
  });

  test("stays as it is when the script is run again, and after a reset", () => {
    mkdirSync(join(mounted, "kmsg"));
    writeFileSync(join(mounted, "kmsg/00000001.queue"), "records");
    expect(script()).toEqual({ status: 0, said: "" });
    umount();
    expect(script()).toEqual({ status: 0, said: "" });
    expect(readFileSync(join(mounted, "kmsg/00000001.queue"), "utf8")).toBe("records");
    umount();
  });

  test("is made anew, and that is said, where nothing can repair it", () => {
    // Behind the label all is gone.
    execFileSync("dd", ["if=/dev/zero", `of=${device}`, "bs=1k", "seek=2", "count=8000"], {
      stdio: "ignore",
    });
    const { status, said } = script();
    expect(status).toBe(0);
    expect(said).toStartWith(`pmem-spool: ${device} can't be repaired: what was in it is lost\n`);
    expect(readdirSync(mounted)).toEqual(["lost+found"]);
    umount();
  });

  test("isn't made of what is somebody else's, and the agent isn't told of any", () => {
    execFileSync("mkfs.ext4", ["-q", "-F", "-L", "photos", device]);
    const { status, said } = script();
    expect(status).toBe(1);
    expect(said).toStartWith(`pmem-spool: Cannot use ${device} because it must be empty, or`);
    expect(existsSync(`${mounted}.env`)).toBe(false);
  });

  test("isn't made of what is too small", () => {
    insert(2 * 1024 ** 2);
    expect(script().status).toBe(1);
    expect(existsSync(`${mounted}.env`)).toBe(false);
    spawnSync("umount", [mounted]);
  });
});

test("what a device's files are called stands in docs/device.md", () => {
  const doc = readFileSync(join(here, "../../docs/device.md"), "utf8");
  const files = readdirSync(here, { recursive: true }) as string[];
  for (const file of files.filter((name) => /\.\w+$/.test(name) && !name.endsWith(".test.ts"))) {
    expect(doc).toInclude(file.split("/").at(-1)!);
  }
});
