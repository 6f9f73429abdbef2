/** A hard reset: a watchdog that bites, a power failure, a hand on the button. */
import { type Change, type Check, commandLine, type Finding, hint, module, ok } from "./finding.ts";
import type { Machine } from "./machine.ts";
import { pmemLines } from "./reserve.ts";

export const checkReset: Check = (machine) => [pmem(machine), watchdog(machine)];

function pmem(machine: Machine): Finding {
  if (machine.commandLine.has("printk_persist")) {
    return ok("pmem", "A hard reset: the kernel's ring itself is in memory that is left alone.");
  }
  const mount = machine.mounts.find(({ device }) => /^\/dev\/pmem\d/.test(device));
  if (mount) {
    const text =
      `A hard reset: what is in ${mount.path} (${mount.device}) survives it, if the agent ` +
      "runs with --spool there and --spool-eager.";
    return ok("pmem", text);
  }
  const device = machine.names("/dev").find((name) => /^pmem\d+$/.test(name));
  if (device) {
    const text = `A hard reset: /dev/${device} would survive it, but isn't used.`;
    const line = "systemctl enable --now logmill-pmem.service";
    return hint("pmem", text, { where: "a shell, with deploy/device's units installed", line });
  }
  const text =
    "A hard reset: what isn't shipped by then is gone. Memory set aside as a disk survives " +
    "a reset where the firmware leaves memory alone (not a power failure).";
  return hint("pmem", text, ...pmemLines(machine));
}

function watchdog(machine: Machine): Finding {
  const [name] = machine.names("/sys/class/watchdog");
  if (name === undefined && !machine.exists("/dev/watchdog")) {
    const text =
      "No watchdog: a machine that hangs stays so until somebody comes. The kernel has one in " +
      "software, and that one can make a panic of it.";
    const options = { where: "/etc/modprobe.d/logmill.conf", line: "options softdog soft_panic=1" };
    return hint("watchdog", text, module(machine, "softdog"), options, ...pet(machine));
  }
  const folder = `/sys/class/watchdog/${name}`;
  if (machine.text(`${folder}/pretimeout_governor`) === "panic") {
    return ok("watchdog", "The watchdog makes a panic before it bites: last words are kept.");
  }
  if (machine.exists(`${folder}/pretimeout_governor`)) {
    const text = "The watchdog resets without a word; it could make a panic of it.";
    const where = "/etc/udev/rules.d/60-logmill.rules";
    const line = 'SUBSYSTEM=="watchdog", ATTR{pretimeout_governor}="panic"';
    return hint("watchdog", text, { where, line });
  }
  if (machine.text(`${folder}/state`) === "inactive") {
    return hint("watchdog", "A watchdog is there, and nothing has started it.", ...pet(machine));
  }
  const text = "A watchdog is there; a reset by it leaves no dump.";
  // What hangs in the kernel is found sooner by the kernel itself.
  return machine.number("/proc/sys/kernel/softlockup_panic") === 0
    ? hint("watchdog", text, commandLine(machine, "softlockup_panic=1"))
    : ok("watchdog", text);
}

/** Who starts it, and says every few seconds that all is well. */
function pet(machine: Machine): Change[] {
  if (!machine.exists("/run/systemd/system")) return [];
  const where = "/etc/systemd/system.conf.d/logmill.conf, below [Manager]";
  return [{ where, line: "RuntimeWatchdogSec=30" }];
}
