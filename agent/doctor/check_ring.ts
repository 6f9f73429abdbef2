/** The kernel's ring: can the agent read it, does the kernel put all of it there, how long does it last? */
import type { LogRecord } from "../../shared/record.ts";
import {
  type Check,
  commandLine,
  type Finding,
  formatBytes,
  formatHours,
  hint,
  lost,
  ok,
  sysctl,
} from "./finding.ts";
import type { Machine } from "./machine.ts";
import { type RingFacts, ringFacts } from "./ring_facts.ts";

/** An agent that is being updated, or a night's outage that began as one. Picked from the air. */
const hoursMin = 1;
/** What is advised holds so long: as the article's 10 MB does. */
const hoursWanted = 4;

export const checkRing: Check = (machine) => {
  const ring = readRing(machine);
  return [
    ...(ring instanceof Error ? [lost("kmsg", ring.message)] : [duration(machine, ring)]),
    devkmsg(machine),
  ];
};

/** The facts, or why the ring can't be read. */
export function readRing(machine: Machine): RingFacts | Error {
  let records: LogRecord[];
  try {
    records = machine.kmsg();
  } catch (error) {
    return error as Error;
  }
  return ringFacts(machine, records);
}

function duration(machine: Machine, ring: RingFacts): Finding {
  const { bytes, hours, bytesPerSecond } = ring;
  const advice = commandLine(machine, `log_buf_len=${wantedSize(ring)}`);
  if (hours === undefined) {
    const text = bytes === undefined
      ? "The kernel's ring: nothing here tells its size."
      : `The kernel's ring has ${
        formatBytes(bytes)
      }. Too little was logged since the boot to say how ` +
        "long that lasts.";
    return (bytes ?? 0) >= 1024 ** 2 ? ok("ring", text) : hint("ring", text, advice);
  }
  const size = bytes === undefined
    ? `${formatBytes(ring.usedBytes)} are in it; nothing here tells its size`
    : formatBytes(bytes);
  const text = `The kernel's ring holds ${formatHours(hours)} at the rate seen here ` +
    `(${size}; ${Math.round(bytesPerSecond! * 10) / 10} bytes/s).`;
  if (hours >= hoursMin) return ok("ring", text);
  const what = `${text} What is logged while no agent runs for longer than that is overwritten.`;
  return lost("ring", what, advice);
}

/** As the kernel will round it: a power of two of MiB. */
function wantedSize({ bytesPerSecond }: RingFacts): string {
  const wanted = (bytesPerSecond ?? 0) * hoursWanted * 3600;
  const MiBs = 2 ** Math.ceil(Math.log2(Math.max(wanted / 1024 ** 2, 1)));
  return `${Math.min(MiBs, 64)}M`;
}

function devkmsg(machine: Machine): Finding {
  const value = machine.text("/proc/sys/kernel/printk_devkmsg");
  if (value === "on") return ok("devkmsg", "Programs' lines: all go into the kernel's log.");
  const booted = machine.commandLine.get("printk.devkmsg");
  const add = [commandLine(machine, "printk.devkmsg=on"), sysctl("kernel.printk_devkmsg=on")];
  if (value === "off") {
    return lost(
      "devkmsg",
      "Programs can't write to the kernel's log: printk_devkmsg is off.",
      add[0]!,
    );
  }
  return lost(
    "devkmsg",
    "Programs' lines: of each program the kernel keeps 10 in 5 seconds and drops the others without " +
      "an error (printk_devkmsg is " + (value ?? "unknown") + ").",
    // What the command line says, sysctl can't change.
    ...(booted === undefined ? add : [add[0]!]),
  );
}
