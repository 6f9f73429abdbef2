/** Records in, one write() to /dev/kmsg for each; and why the kernel might drop some without a word. */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";

/** Where a record goes: one call is one record. Throws if it isn't written. */
export interface RecordWriter {
  write(record: Uint8Array): void;
  close(): void;
}

export class KmsgWriteError extends Error {
  override name = "KmsgWriteError";
  readonly code = "no_kmsg";
}

export interface KmsgPaths {
  kmsg: string;
  pmsg: string;
  /** The sysctl kernel.printk_devkmsg. */
  printkDevkmsg: string;
}

export const kmsgPaths: KmsgPaths = {
  kmsg: "/dev/kmsg",
  pmsg: "/dev/pmsg0",
  printkDevkmsg: "/proc/sys/kernel/printk_devkmsg",
};

/**
 * Opens /dev/kmsg to write; throws `KmsgWriteError`, with what to do, where that isn't allowed. `pmsg`:
 * where the machine has a /dev/pmsg0, each record is copied to it: ramoops keeps that zone through a
 * reset, also one that no panic announced.
 */
export function openKmsgWriter({ pmsg = false, paths = kmsgPaths } = {}): RecordWriter {
  const kmsgFd = openKmsg(paths);
  const pmsgFd = pmsg ? openPmsg(paths.pmsg) : undefined;
  return {
    write(record) {
      writeSync(kmsgFd, record);
      if (pmsgFd !== undefined) writeCopy(pmsgFd, record);
    },
    close() {
      closeSync(kmsgFd);
      if (pmsgFd !== undefined) closeSync(pmsgFd);
    },
  };
}

function openKmsg(paths: KmsgPaths): number {
  try {
    return openSync(paths.kmsg, constants.O_WRONLY);
  } catch (error) {
    // The kernel refuses even root's open() with EPERM then.
    const advice = printkDevkmsg(paths) === "off"
      ? devkmsgAdvice("off")
      : "Run as root, or let the program's group write to it; in a container pass the device in, or " +
        "use the socket of an agent outside (agent run --logos-socket).";
    throw new KmsgWriteError(
      `Cannot write to ${paths.kmsg} because it must be writable: ${(error as Error).message}. ` +
        advice,
      { cause: error },
    );
  }
}

/** No ramoops, no copy: most machines have none, and the kernel's log is the one that counts. */
function openPmsg(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY);
  } catch {
    return undefined;
  }
}

/** That the copy failed must not count as a record that was dropped. */
function writeCopy(fd: number, record: Uint8Array): void {
  try {
    writeSync(fd, record);
  } catch { /* the record is in the kernel's log */ }
}

/** What is wrong with kernel.printk_devkmsg, and what to set; undefined where all is well. */
export function devkmsgProblem(paths = kmsgPaths): string | undefined {
  const value = printkDevkmsg(paths);
  if (value === undefined || value === "on") return undefined;
  return `Cannot log every line because kernel.printk_devkmsg must be on: current value is ${value}. ` +
    devkmsgAdvice(value);
}

function devkmsgAdvice(value: string): string {
  const effect = value === "off"
    ? "The kernel takes no lines from programs."
    : "The kernel drops, without an error, all but 10 lines in 5 seconds of each program.";
  return `${effect} Set it now with \`sysctl kernel.printk_devkmsg=on\`, and for every boot with ` +
    "`printk.devkmsg=on` on the kernel's command line (another value there locks the sysctl).";
}

/** Undefined where there is no such sysctl: before Linux 4.9 nothing was limited. */
function printkDevkmsg(paths: KmsgPaths): string | undefined {
  try {
    return readFileSync(paths.printkDevkmsg, "utf8").trim();
  } catch {
    return undefined;
  }
}
