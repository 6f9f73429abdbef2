/** A guest in QEMU, in software emulation, from its first boot to its power-off. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Program } from "../programs.ts";
import type { Images } from "./images.ts";

export interface GuestOptions {
  images: Images;
  /** The device's own disk. */
  state: string;
  /** For what its two serial ports say. */
  folder: string;
  /** What it does in each boot: the steps of guest/init. */
  boots: readonly (readonly string[])[];
  receiverPort: number;
  /** One dump in ramoops. */
  recordBytes: number;
  /** Which ends of a boot leave a dump: 2 is panic and oops, 4 is an orderly reboot as well. */
  maxReason: number;
}

export interface GuestLogs {
  /** What the kernel printed to its console: all of its log, by another way. */
  console: string;
  /** What the steps and the programs of the guest said. */
  script: string;
}

/** Two boots take some 40 s on an idle machine, and three minutes on one that is busy. */
const guestMsMax = 300_000;
const ramoopsAt = 0x8000000;
const ramoopsBytes = 2 << 20;

/** Resolves when the guest has switched itself off. Throws if it doesn't. */
export async function runGuest(options: GuestOptions): Promise<GuestLogs> {
  const paths = {
    console: join(options.folder, "console.log"),
    script: join(options.folder, "script.log"),
  };
  const qemu = new Program("the guest", "qemu-system-x86_64", qemuArguments(options, paths));
  const tooLate = setTimeout(() => void qemu.kill(), guestMsMax);
  const status = await qemu.exited();
  clearTimeout(tooLate);
  const script = readFileSync(paths.script, "utf8").replaceAll("\r", "");
  if (status !== 0) {
    const steps = script.replaceAll(/^boot \d+ wrote .*\n/gm, "").slice(-3_000);
    throw new Error(
      `Cannot finish because the guest must power off within ${guestMsMax / 1000} s: ` +
        `QEMU's exit status is ${status}\n${qemu.output}${steps}`,
    );
  }
  return { console: readFileSync(paths.console, "utf8").replaceAll("\r", ""), script };
}

function qemuArguments(options: GuestOptions, paths: GuestLogs): string[] {
  const { images, state } = options;
  const disk = (id: string, file: string, more = "") => [
    ...["-drive", `if=none,id=${id},format=raw,file=${file}${more}`],
    ...["-device", `virtio-blk-pci,drive=${id}`],
  ];
  return [
    // Bun needs SSE 4.2, which the usual processor of QEMU hasn't; microvm never comes back from a reset.
    ...["-accel", "tcg", "-cpu", "max", "-M", "pc", "-m", "512"],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-kernel", images.kernel, "-initrd", images.initrd],
    ...["-append", commandLine(options).join(" ")],
    ...["-serial", `file:${paths.console}`, "-serial", `file:${paths.script}`],
    ...["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="],
    ...disk("system", images.system, ",readonly=on"),
    ...disk("state", state),
  ];
}

/** What a device needs for its last words, and what makes the console a witness of the whole log. */
function commandLine({ boots, receiverPort, recordBytes, maxReason }: GuestOptions): string[] {
  const hex = (n: number) => `0x${n.toString(16)}`;
  return [
    ...["console=ttyS0", "ignore_loglevel"],
    // On a busy host the kernel finds a wrong frequency of the TSC, and its clocks run five times too fast.
    ...["clocksource=hpet", "tsc=unstable"],
    // Memory as a disk, beside that of ramoops: it survives a reset.
    "memmap=16M!0x10000000",
    ...["panic=1", "printk.devkmsg=on", "log_buf_len=1M"],
    // It must lie inside of the memory, or it keeps nothing without a word.
    `memmap=${hex(ramoopsBytes)}$${hex(ramoopsAt)}`,
    ...[`ramoops.mem_address=${hex(ramoopsAt)}`, `ramoops.mem_size=${hex(ramoopsBytes)}`],
    ...[`ramoops.record_size=${hex(recordBytes)}`, `ramoops.max_reason=${maxReason}`],
    ...["ramoops.console_size=0", "ramoops.pmsg_size=0", "ramoops.ftrace_size=0"],
    `receiver=http://10.0.2.2:${receiverPort}`,
    `steps=${boots.map((steps) => steps.join(",")).join(";")}`,
  ];
}
