/** A kernel panic: what keeps the last words, does the machine come back, can the agent find them? */
import type { LogRecord } from "../../shared/record.ts";
import {
  type Check,
  commandLine,
  type Finding,
  formatBytes,
  formatHours,
  hint,
  kernelConfig,
  lost,
  module,
  ok,
  sysctl,
} from "./finding.ts";
import { readRing } from "./check_ring.ts";
import type { Machine } from "./machine.ts";
import { type PstoreFacts, pstoreFacts } from "./pstore_facts.ts";
import { ramoopsLines } from "./reserve.ts";

const MiB = 1024 ** 2;

export const checkPanic: Check = (machine) => {
  const pstore = pstoreFacts(machine, kmsgOf(machine));
  return [
    ...keeper(machine, pstore),
    ...(pstore?.backend ? zones(machine, pstore) : []),
    ...kdump(machine),
    reboot(machine),
    ...oops(machine),
    ...systemdPstore(machine),
  ];
};

function kmsgOf(machine: Machine): LogRecord[] {
  try {
    return machine.kmsg();
  } catch {
    // Said by another check.
    return [];
  }
}

function keeper(machine: Machine, pstore: PstoreFacts | undefined): Finding[] {
  if (!pstore || (!pstore.backend && machine.config("PSTORE_RAM") === "n")) {
    const text = "A panic: nothing survives it. This kernel was built without " +
      (pstore ? "ramoops, and nothing else has registered with pstore." : "pstore.");
    return [
      lost("pstore", text, kernelConfig("CONFIG_PSTORE=y"), kernelConfig("CONFIG_PSTORE_RAM=y")),
    ];
  }
  if (!pstore.backend) {
    if (machine.commandLine.has("ramoops.mem_address")) {
      const text =
        "A panic: nothing survives it. ramoops is set up, but isn't loaded or has failed.";
      return [lost("pstore", text, module(machine, "ramoops"))];
    }
    const text =
      "A panic: nothing survives it. No memory is set aside for the kernel's last words.";
    return [lost("pstore", text, ...ramoopsLines(machine, wantedRecord(machine)))];
  }
  const found = [pstore.backend === "ramoops" ? ramoops(machine, pstore) : other(machine, pstore)];
  if (!pstore.isMounted) found.push(mounted(machine));
  return found;
}

function mounted(machine: Machine): Finding {
  const text = "What the kernel kept can't be seen: /sys/fs/pstore isn't mounted.";
  const add = machine.exists("/etc/fstab")
    ? { where: "/etc/fstab", line: "pstore /sys/fs/pstore pstore nosuid,nodev,noexec 0 0" }
    : { where: "/etc/rc.local", line: "mount -t pstore pstore /sys/fs/pstore" };
  return lost("pstore-mounted", text, add);
}

function ramoops(machine: Machine, { recordBytes, maxReason }: PstoreFacts): Finding {
  if (recordBytes === 0) {
    const text = "A panic: the kernel's ring doesn't survive it: ramoops has no room for a record.";
    return lost("pstore", text, ...ramoopsLines(machine, wantedRecord(machine)));
  }
  const ring = readRing(machine);
  const bytes = ring instanceof Error ? undefined : ring.bytes;
  const rate = ring instanceof Error ? undefined : ring.bytesPerSecond;
  const last = rate ? `, at the rate seen here ${formatHours(recordBytes / rate / 3600)}` : "";
  const also = maxReason >= 4 ? " An orderly reboot leaves one, too." : "";
  const kept = `A panic: ramoops keeps the last ${formatBytes(recordBytes)}${last}.${also}`;
  if (bytes === undefined || recordBytes >= bytes) return ok("pstore", kept);
  const text = `${kept} The ring holds ${
    formatBytes(bytes)
  }: what is older and not shipped is lost.`;
  return hint("pstore", text, commandLine(machine, `ramoops.record_size=0x${bytes.toString(16)}`));
}

function other(machine: Machine, { backend }: PstoreFacts): Finding {
  const bytes = Number(machine.parameter("pstore", "kmsg_bytes") ?? 0);
  const text = `A panic: ${backend} keeps the last ${formatBytes(bytes)} of it.`;
  if (backend !== "efi_pstore") return hint("pstore", text);
  const more = `${text} That is little, and wears the firmware's flash; memory keeps more.`;
  return hint("pstore", more, ...ramoopsLines(machine, wantedRecord(machine)));
}

/** The whole ring, as far as that is reasonable. */
function wantedRecord(machine: Machine): number {
  const ring = readRing(machine);
  const bytes = ring instanceof Error ? undefined : ring.bytes;
  return Math.min(Math.max(bytes ?? MiB, MiB), 16 * MiB);
}

/** What survives also where no panic announces the end. */
function zones(machine: Machine, { consoleBytes, pmsgBytes }: PstoreFacts): Finding[] {
  return [
    { name: "console", bytes: consoleBytes, config: "PSTORE_CONSOLE" },
    { name: "pmsg", bytes: pmsgBytes, config: "PSTORE_PMSG" },
  ].map(({ name, bytes, config }) => {
    const built = machine.config(config);
    const check = `pstore-${name}`;
    if (bytes > 0 && built !== "n") return ok(check, `The ${name} zone has ${formatBytes(bytes)}.`);
    const text = `No ${name} zone: a reset that no panic announces leaves nothing in ramoops.`;
    return built === "n"
      ? hint(check, text, kernelConfig(`CONFIG_${config}=y`))
      : hint(check, text, commandLine(machine, `ramoops.${name}_size=0x40000`));
  });
}

/** The crash kernel is started before anybody is told of the panic, unless it is asked not to be. */
function kdump(machine: Machine): Finding[] {
  if (machine.number("/sys/kernel/kexec_crash_loaded") !== 1) return [];
  if (machine.parameter("kernel", "crash_kexec_post_notifiers") === "Y") {
    return [ok("kdump", "A crash kernel is loaded, and comes after pstore.")];
  }
  const text = "A panic: a crash kernel is loaded (kdump), and starts before pstore is written.";
  return [lost("kdump", text, commandLine(machine, "crash_kexec_post_notifiers"))];
}

function reboot(machine: Machine): Finding {
  const seconds = machine.number("/proc/sys/kernel/panic");
  if (seconds === undefined) return hint("reboot", "Whether it reboots after a panic is unknown.");
  if (seconds !== 0) {
    const when = seconds < 0 ? "at once" : `after ${seconds} s`;
    return ok(
      "reboot",
      `After a panic the machine reboots ${when}, and the agent ships what is left.`,
    );
  }
  return lost(
    "reboot",
    "After a panic the machine stands still until somebody cuts its power, and that empties its memory.",
    commandLine(machine, "panic=1"),
    sysctl("kernel.panic=1"),
  );
}

function oops(machine: Machine): Finding[] {
  const wanted = [
    { name: "panic_on_oops", what: "After an oops the kernel goes on, in whatever state" },
    { name: "softlockup_panic", what: "A processor that hangs is reported, but nothing ends it" },
  ];
  return wanted.flatMap(({ name, what }) => {
    const value = machine.number(`/proc/sys/kernel/${name}`);
    const why = `${what}: a panic leaves last words and a machine that comes back.`;
    return value === 0 ? [hint(name, why, sysctl(`kernel.${name}=1`))] : [];
  });
}

/** It moves the dumps away at boot, to where the agent looks, too, or into the journal, where it doesn't. */
function systemdPstore(machine: Machine): Finding[] {
  const unit = "systemd/system/systemd-pstore.service";
  if (!machine.first(`/usr/lib/${unit}`, `/lib/${unit}`, `/etc/${unit}`)) return [];
  const folder = "/etc/systemd/pstore.conf.d";
  const files = [...machine.names(folder).map((name) => `${folder}/${name}`)];
  const texts = ["/etc/systemd/pstore.conf", ...files].map((path) => machine.text(path) ?? "");
  const storage = texts.flatMap((text) => [...text.matchAll(/^\s*Storage\s*=\s*(\w+)/gm)])
    .at(-1)?.[1] ?? "external";
  if (storage !== "journal") {
    return [
      ok("systemd-pstore", "systemd moves dumps to /var/lib/systemd/pstore: found there, too."),
    ];
  }
  const where = `${folder}/logmill.conf, below [PStore]`;
  const text = "Last words vanish: systemd-pstore puts them into the journal and deletes them.";
  return [lost("systemd-pstore", text, { where, line: "Storage=external" })];
}
