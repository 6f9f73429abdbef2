/** What a check has found, and what to change. */
import type { Machine } from "./machine.ts";

export interface Change {
  /** A file, or what else the line belongs to. */
  where: string;
  line: string;
}

export interface Finding {
  /** Names what was looked at, for programs. */
  check: string;
  /** `lost`: something would be lost here. `hint`: it is as it should be, but could be better. */
  level: "ok" | "hint" | "lost";
  text: string;
  /** What to add, each line exactly as it has to stand there. */
  add: Change[];
}

export interface DoctorOptions {
  /** The agent's folders. */
  state: string;
  run: string | undefined;
}

export type Check = (machine: Machine, options: DoctorOptions) => Finding[];

export const ok = (check: string, text: string): Finding => ({ check, level: "ok", text, add: [] });

export const hint = (check: string, text: string, ...add: Change[]): Finding => ({
  check,
  level: "hint",
  text,
  add,
});

export const lost = (check: string, text: string, ...add: Change[]): Finding => ({
  check,
  level: "lost",
  text,
  add,
});

const grub = "/etc/default/grub";

/** Words for the kernel's command line, and where this machine keeps that. */
export function commandLine(machine: Machine, line: string): Change {
  // Once for the shell that reads /etc/default/grub, and once for GRUB, which reads what that writes.
  const quoted = machine.exists(grub) ? line.replaceAll("$", "\\\\\\$") : line;
  return { where: commandLinePlace(machine), line: quoted };
}

export function commandLinePlace(machine: Machine): string {
  if (machine.exists(grub)) {
    return `the kernel's command line: GRUB_CMDLINE_LINUX in ${grub}, then update-grub`;
  }
  const file = machine.first("/boot/firmware/cmdline.txt", "/boot/cmdline.txt");
  if (file) return `the kernel's command line: ${file}, on its one line`;
  const extlinux = "/boot/extlinux/extlinux.conf";
  if (machine.exists(extlinux)) return `the kernel's command line: append in ${extlinux}`;
  return "the kernel's command line";
}

export const sysctl = (line: string): Change => ({ where: "/etc/sysctl.d/60-logmill.conf", line });

/** Loaded at boot. */
export function module(machine: Machine, name: string): Change {
  const isOpenWrt = machine.exists("/etc/openwrt_release");
  return {
    where: isOpenWrt ? "/etc/modules.d/logmill" : "/etc/modules-load.d/logmill.conf",
    line: name,
  };
}

export const kernelConfig = (line: string): Change => ({
  where: "the kernel's configuration, which has to be built anew",
  line,
});

/** Bytes for people. */
export function formatBytes(bytes: number): string {
  const [size, unit] = bytes >= 1024 ** 2
    ? [bytes / 1024 ** 2, "MiB"]
    : bytes >= 1024
    ? [bytes / 1024, "KiB"]
    : [bytes, "bytes"];
  return `${Math.round(size * 10) / 10} ${unit}`;
}

export function formatHours(hours: number): string {
  if (hours < 1 / 30) return `${Math.round(hours * 3600)} seconds`;
  if (hours < 2) return `${Math.round(hours * 60)} minutes`;
  return hours < 96 ? `${Math.round(hours * 10) / 10} hours` : `${Math.round(hours / 24)} days`;
}
