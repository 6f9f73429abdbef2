import { execFileSync, spawnSync } from "node:child_process";
import { describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, root } from "../tests/programs.ts";
import { examine } from "./doctor.ts";
import type { Finding } from "./doctor/finding.ts";
import { cloud, kmsgOf, openWrt, plant, raspberryPi, type Tree, wellKept } from "./doctor/trees.ts";

const options = { state: "/var/lib/logmill", run: undefined };

interface Json {
  status: number;
  ring?: { bytes?: number; bytes_per_second?: number; hours?: number };
  findings: Finding[];
}

function look(tree: Tree, changed: Tree = {}, without: string[] = [], given = options) {
  using folder = new TemporaryFolder();
  const all = Object.entries({ ...tree, ...changed }).filter(([path]) => !without.includes(path));
  plant(folder.path, Object.fromEntries(all));
  const { status, text } = examine(folder.path, given, { json: true });
  const report = JSON.parse(text) as Json;
  expect(report.status).toBe(status);
  return { ...report, plain: examine(folder.path, given).text };
}

const levels = ({ findings }: Json) =>
  Object.fromEntries(findings.map(({ check, level }) => [check, level]));
const finding = ({ findings }: Json, wanted: string) =>
  findings.find(({ check }) => check === wanted)!;
const lines = (report: Json, check: string) => finding(report, check).add.map(({ line }) => line);

describe("the doctor of a board with an SD card", () => {
  test("finds what is lost there, and says what to change", () => {
    const report = look(raspberryPi);
    expect(report.status).toBe(1);
    expect(levels(report)).toEqual({
      "pstore": "lost",
      "reboot": "lost",
      "devkmsg": "lost",
      "panic_on_oops": "hint",
      "pmem": "hint",
      "watchdog": "hint",
      "state": "hint",
      "systemd-pstore": "ok",
      "ring": "ok",
      "clock": "ok",
    });
    const { add } = finding(report, "pstore");
    expect(add).toEqual([
      {
        where: "/boot/firmware/config.txt",
        line: "dtoverlay=ramoops,total-size=0x200000,record-size=0x100000",
      },
      { where: "/etc/modules-load.d/logmill.conf", line: "ramoops" },
    ]);
    expect(finding(report, "reboot").add[0]!.where).toInclude("/boot/firmware/cmdline.txt");
    expect(lines(report, "state")).toEqual(["--run /run/logmill"]);
    expect(lines(report, "watchdog")).toEqual(["RuntimeWatchdogSec=30"]);
    expect(report.plain).toEndWith(
      "\n3 things to change before nothing is lost.\n\n" +
        "Together, on the kernel's command line:\n  panic=1 printk.devkmsg=on\n",
    );
  });

  test("says how long the ring lasts, without what only the boot said", () => {
    const { ring } = look(raspberryPi);
    expect(ring!.bytes).toBe(128 * 1024);
    // A line takes 80 bytes of the ring. The boot's two minutes, with 400 of them, don't count.
    expect(ring!.bytes_per_second).toBeCloseTo(700 * 80 / (86_400.1 - 120), 5);
    expect(ring!.hours).toBeCloseTo(128 * 1024 / (700 * 80 / 86_280.1) / 3600, 3);
  });
});

describe("the doctor of a router", () => {
  test("finds what is lost there, and says what to change", () => {
    const report = look(openWrt);
    expect(levels(report)).toEqual({
      "ring": "lost",
      "devkmsg": "lost",
      "state": "lost",
      "panic_on_oops": "hint",
      "pstore-pmsg": "hint",
      "pmem": "hint",
      "watchdog": "ok",
      "clock": "hint",
      "pstore": "ok",
      "pstore-console": "ok",
      "reboot": "ok",
    });
    expect(lines(report, "state")).toEqual(["--state /etc/logmill"]);
    expect(lines(report, "pstore-pmsg")).toEqual(["CONFIG_PSTORE_PMSG=y"]);
    expect(finding(report, "pstore").text)
      .toBe("A panic: ramoops keeps the last 128 KiB, at the rate seen here 36 minutes.");
    expect(look(openWrt, {}, [], { ...options, state: "/etc/logmill" }).status).toBe(1);
    expect(levels(look(openWrt, {}, [], { ...options, state: "/etc/logmill" }))["state"]).toBe(
      "ok",
    );
  });

  test("takes from a ring that went round what it held, whatever its size", () => {
    const { ring, findings } = look(openWrt, {}, ["proc/config.gz"]);
    expect(ring).toEqual({ bytes_per_second: 750 * 80 / 1000.5, hours: 1000.5 / 3600 });
    expect(findings.find(({ check }) => check === "ring")!.text).toBe(
      "The kernel's ring holds 17 minutes at the rate seen here (58.6 KiB are in it; nothing here " +
        "tells its size; 60 bytes/s). What is logged while no agent runs for longer than that is " +
        "overwritten.",
    );
  });
});

describe("the doctor of a cloud's machine", () => {
  test("finds what is lost there, and says what to change", () => {
    const report = look(cloud);
    expect(levels(report)).toEqual({
      "kdump": "lost",
      "systemd-pstore": "lost",
      "devkmsg": "lost",
      "pstore": "hint",
      "pstore-console": "hint",
      "pstore-pmsg": "hint",
      "panic_on_oops": "hint",
      "ring": "hint",
      "pmem": "hint",
      "watchdog": "hint",
      "reboot": "ok",
      "state": "ok",
      "clock": "ok",
    });
    expect(lines(report, "kdump")).toEqual(["crash_kexec_post_notifiers"]);
    expect(finding(report, "systemd-pstore").add).toEqual([
      {
        where: "/etc/systemd/pstore.conf.d/logmill.conf, below [PStore]",
        line: "Storage=external",
      },
    ]);
    // 128 KiB, and 4 KiB for each of 63 more processors, as a power of two.
    expect(report.ring!.bytes).toBe(512 * 1024);
    expect(lines(report, "pmem")).toEqual(["memmap=16M!0xbb000000"]);
    expect(lines(report, "pstore")).toContain("pstore.backend=ramoops");
  });

  test("writes a $ so that a shell and GRUB leave one", () => {
    const [memmap] = lines(look(cloud), "pstore");
    expect(memmap).toStartWith("memmap=2M\\\\\\$0xbd000000 ramoops.mem_address=0xbd000000 ");
    const shell = execFileSync("sh", ["-c", `X="${memmap}"; printf %s "$X"`], { encoding: "utf8" });
    expect(shell).toStartWith("memmap=2M\\$0xbd000000 ");
  });

  test("says ADDRESS, and what that is, where it can't read the machine's memory map", () => {
    const { plain } = look(cloud, { "proc/iomem": "00000000-00000000 : System RAM\n" });
    expect(plain).toInclude("memmap=16M!ADDRESS");
    expect(plain).toEndWith(
      "\nADDRESS is within `System RAM` of /proc/iomem, which root can read.\n",
    );
  });
});

describe("the doctor of a machine that is well kept", () => {
  test("has nothing to say against it", () => {
    const report = look(wellKept);
    expect(new Set(Object.values(levels(report)))).toEqual(new Set(["ok"]));
    expect(report.status).toBe(0);
    expect(report.plain).toEndWith("\nNothing that is logged here would be lost in a panic.\n");
    // log_buf_len=10M is rounded up.
    expect(report.ring!.bytes).toBe(16 * 1024 * 1024);
    expect(finding(report, "pstore").text).toEndWith("An orderly reboot leaves one, too.");
  });

  const spoilt: Array<[what: string, changed: Tree, without: string[], check: string]> = [
    [
      "no pstore in its kernel",
      {},
      Object.keys(wellKept).filter((path) =>
        path.startsWith("sys/fs/pstore") || path.startsWith("sys/module/pstore")
      ),
      "pstore",
    ],
    [
      "a ramoops without room for a record",
      {
        "sys/module/ramoops/parameters/record_size": "0\n",
      },
      [],
      "pstore",
    ],
    [
      "nothing registered with pstore",
      {
        "sys/module/pstore/parameters/backend": "(null)\n",
      },
      [],
      "pstore",
    ],
    [
      "pstore not mounted",
      {
        "proc/mounts": "/dev/sda2 / ext4 rw 0 0\n",
      },
      [],
      "pstore-mounted",
    ],
    ["no reboot after a panic", { "proc/sys/kernel/panic": "0\n" }, [], "reboot"],
    [
      "programs kept from its log",
      {
        "proc/sys/kernel/printk_devkmsg": "off\n",
      },
      [],
      "devkmsg",
    ],
    ["a short ring", { "proc/cmdline": "quiet\n", "dev/kmsg": kmsgOf(20_000, 0.5) }, [], "ring"],
    ["a ring that can't be read", {}, ["dev/kmsg"], "kmsg"],
    [
      "its state in memory",
      {
        "proc/mounts": `${wellKept["proc/mounts"]}\ntmpfs /var tmpfs rw 0 0\n`,
      },
      [],
      "state",
    ],
    ["a crash kernel", { "sys/kernel/kexec_crash_loaded": "1\n" }, [], "kdump"],
  ];
  for (const [what, changed, without, check] of spoilt) {
    test(`with ${what} says that something would be lost`, () => {
      const report = look(wellKept, changed, without);
      expect(report.status).toBe(1);
      const lost = report.findings.filter(({ level }) => level === "lost");
      expect(lost.map((one) => one.check)).toEqual([check]);
      if (check !== "kmsg") expect(lost[0]!.add.length).toBeGreaterThan(0);
      expect(report.plain).toStartWith("LOST  ");
    });
  }

  test("with ramoops set up and not loaded says just that", () => {
    const words = "log_buf_len=10M ramoops.mem_address=0x30000000 ramoops.mem_size=0x200000\n";
    const parameters = Object.keys(wellKept).filter((path) => path.startsWith("sys/module/"));
    const report = look(wellKept, { "proc/cmdline": words }, parameters);
    expect(lines(report, "pstore")).toEqual(["ramoops"]);
  });

  test("knows the backend of an older kernel from what that said at its boot", () => {
    const said = "6,0,0,-;pstore: Registered erst as persistent store backend\n";
    const parameters = Object.keys(wellKept).filter((path) => path.startsWith("sys/module/"));
    const report = look(wellKept, { "dev/kmsg": said }, parameters);
    expect(finding(report, "pstore").text).toStartWith("A panic: erst keeps");
    // A program can say what it likes.
    const lied = look(wellKept, { "dev/kmsg": said.replace("6,", "14,") }, parameters);
    expect(finding(lied, "pstore").level).toBe("lost");
  });

  test("knows the ring's size from what the kernel said at its boot", () => {
    const said = "6,0,0,-;printk: log_buf_len: 2097152 bytes\n";
    expect(look(wellKept, { "dev/kmsg": said }).ring!.bytes).toBe(2 * 1024 * 1024);
    const newer =
      "6,0,0,-;printk: log buffer data + meta data: 4194304 + 14680064 = 18874368 bytes\n";
    expect(look(wellKept, { "dev/kmsg": newer }).ring!.bytes).toBe(4 * 1024 * 1024);
    expect(look(wellKept, { "dev/kmsg": said.replace("6,", "14,") }).ring!.bytes).toBe(
      16 * 1024 ** 2,
    );
  });

  test("with a record too small for the ring says how much of it that keeps", () => {
    const report = look(wellKept, { "sys/module/ramoops/parameters/record_size": "1048576\n" });
    expect(finding(report, "pstore")).toMatchObject({
      level: "hint",
      text:
        "A panic: ramoops keeps the last 1 MiB, at the rate seen here 36.4 hours. An orderly reboot " +
        "leaves one, too. The ring holds 16 MiB: what is older and not shipped is lost.",
      add: [{ where: "the kernel's command line", line: "ramoops.record_size=0x1000000" }],
    });
  });
});

describe("the doctor as a program", () => {
  const doctor = (...args: string[]) =>
    spawnSync(bunPath, ["agent/main.ts", "doctor", ...args], { cwd: root, encoding: "utf8" });

  test("looks at the machine below --root, and ends with 0 or 1", () => {
    using folder = new TemporaryFolder();
    plant(folder.path, wellKept);
    const good = doctor("--root", folder.path);
    expect([good.status, good.stderr]).toEqual([0, ""]);
    using other = new TemporaryFolder();
    plant(other.path, openWrt);
    const bad = doctor("--root", other.path, "--json");
    expect(bad.status).toBe(1);
    expect((JSON.parse(bad.stdout) as Json).findings.length).toBeGreaterThan(5);
  });

  test("has something to say of this machine", () => {
    const { status, stdout, stderr } = doctor();
    expect([0, 1]).toContain(status!);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^(?:ok {4}|LOST {2})After a panic/m);
    const json = JSON.parse(doctor("--json").stdout) as Json;
    // Every kernel says how it treats what programs write.
    expect(finding(json, "devkmsg").text).not.toInclude("unknown");
    expect(json.status).toBe(json.findings.some(({ level }) => level === "lost") ? 1 : 0);
  });
});
