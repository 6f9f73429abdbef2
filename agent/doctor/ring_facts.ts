/**
 * How large the kernel's ring is, and how long it holds what is logged here. Only a system call asks for
 * the size, so it is taken from the first of these that tells:
 *
 * | where | what |
 * |-------|------|
 * | the ring itself | the kernel's line of its boot, while it isn't overwritten |
 * | /proc/cmdline | log_buf_len=, rounded up to a power of two; what is smaller than the default has no effect |
 * | /proc/config.gz, /boot/config-RELEASE | CONFIG_LOG_BUF_SHIFT, and more where there are many processors |
 */
import type { LogRecord } from "../../shared/record.ts";
import { type Machine, parseSize } from "./machine.ts";

export interface RingFacts {
  /** Undefined: nothing here tells. */
  bytes: number | undefined;
  /** Text in it now, with what each record costs. */
  usedBytes: number;
  bytesPerSecond: number | undefined;
  hours: number | undefined;
  /** It has overwritten records: what it holds is what it can hold. */
  isFull: boolean;
}

/** A boot says in its first minutes what it never says again: that isn't the rate. */
const bootSeconds = 120;
/** ... and of a shorter time than this nobody knows the rate. Picked from the air. */
const observedSecondsMin = 600;

export function ringFacts(machine: Machine, records: LogRecord[]): RingFacts {
  const uptime = Number(machine.text("/proc/uptime")?.split(" ")[0] ?? 0);
  const nowSeconds = Math.max(uptime, (records.at(-1)?.usec ?? 0) / 1e6);
  const oldest = records[0];
  const isFull = oldest !== undefined && oldest.seq > 0;
  const usedBytes = records.reduce((sum, record) => sum + costOf(record), 0);
  const told = toldSize(machine, records);
  if (isFull) {
    const seconds = Math.max(nowSeconds - oldest.usec / 1e6, 1);
    const hours = seconds / 3600;
    return { bytes: told, usedBytes, bytesPerSecond: usedBytes / seconds, hours, isFull };
  }
  const later = records.filter(({ usec }) => usec / 1e6 > bootSeconds);
  const seconds = nowSeconds - bootSeconds;
  const bytesPerSecond = seconds < observedSecondsMin || later.length === 0
    ? undefined
    : later.reduce((sum, record) => sum + costOf(record), 0) / seconds;
  const hours = told && bytesPerSecond ? told / bytesPerSecond / 3600 : undefined;
  return { bytes: told, usedBytes, bytesPerSecond, hours, isFull };
}

/** In the ring: an id of 8 bytes before the text, both filled up to 8 bytes. */
function costOf({ text }: LogRecord): number {
  return 8 * Math.ceil((8 + text.length) / 8);
}

function toldSize(machine: Machine, records: LogRecord[]): number | undefined {
  return saidAtBoot(records) ?? configured(machine);
}

function saidAtBoot(records: LogRecord[]): number | undefined {
  for (const { text, prio } of records) {
    // Programs can't write with a kernel's priority.
    if (prio >= 8) continue;
    const [, bytes] = /log_buf_len: (\d+) bytes|log buffer data \+ meta data: (\d+) \+/.exec(text)
      ?.filter((group) => group !== undefined) ?? [];
    if (bytes !== undefined) return Number(bytes);
  }
  return undefined;
}

function configured(machine: Machine): number | undefined {
  const wanted = parseSize(machine.commandLine.get("log_buf_len") ?? "");
  const shift = Number(machine.config("LOG_BUF_SHIFT"));
  const base = Number.isNaN(shift) ? undefined : 2 ** shift;
  if (wanted !== undefined && wanted > (base ?? 0)) return 2 ** Math.ceil(Math.log2(wanted));
  if (base === undefined) return undefined;
  const each = 2 ** Number(machine.config("LOG_CPU_MAX_BUF_SHIFT"));
  const more = (processors(machine) - 1) * each;
  return more > base / 2 ? 2 ** Math.ceil(Math.log2(base + more)) : base;
}

/** Those that there may be: `0-3`. */
function processors(machine: Machine): number {
  const last = /(\d+)$/.exec(machine.text("/sys/devices/system/cpu/possible") ?? "")?.[1];
  return last === undefined ? 1 : Number(last) + 1;
}
