/** Which part of the kernel keeps its last words here, and how much of them. */
import type { LogRecord } from "../../shared/record.ts";
import type { Machine } from "./machine.ts";

export interface PstoreFacts {
  /** ramoops, efi_pstore, erst, ...; undefined if nothing is registered. */
  backend: string | undefined;
  isMounted: boolean;
  /** Of ramoops: bytes; 0 is none. */
  recordBytes: number;
  consoleBytes: number;
  pmsgBytes: number;
  /** 1: panics; 2: oopses as well; 4: orderly reboots, too. */
  maxReason: number;
}

/** Panics and oopses: the kernel's own default. */
const usualReason = 2;

/** Undefined if this kernel has no pstore. `records` is what the ring holds, as far as it can be read. */
export function pstoreFacts(machine: Machine, records: LogRecord[]): PstoreFacts | undefined {
  const isThere = machine.exists("/sys/fs/pstore") || machine.exists("/sys/module/pstore");
  if (!isThere) return undefined;
  const ramoops = (name: string) => Number(machine.parameter("ramoops", name) ?? 0);
  const reason = machine.parameter("ramoops", "max_reason");
  return {
    // Older kernels don't say it in the parameter.
    backend: machine.parameter("pstore", "backend") ?? saidAtBoot(records) ??
      (ramoops("mem_size") > 0 ? "ramoops" : undefined),
    isMounted: machine.mounts.some(({ path, type }) =>
      path === "/sys/fs/pstore" && type === "pstore"
    ),
    recordBytes: ramoops("record_size"),
    consoleBytes: ramoops("console_size"),
    pmsgBytes: ramoops("pmsg_size"),
    maxReason: reason === undefined || Number(reason) < 0 ? usualReason : Number(reason),
  };
}

function saidAtBoot(records: LogRecord[]): string | undefined {
  for (const { text, prio } of records) {
    const name = /pstore: Registered (\S+) as persistent store backend/.exec(text)?.[1];
    if (name !== undefined && prio < 8) return name;
  }
  return undefined;
}
