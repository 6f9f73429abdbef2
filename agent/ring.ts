/** /dev/kmsg, one record at a time: the kernel's own ring buffer. */
import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { limits } from "../shared/limits.ts";
import { parseRecord } from "../shared/record.ts";

export type RingRead =
  /** One record as the kernel gives it: its line, and its continuation lines. */
  | { kind: "record"; text: string }
  /** Nothing more now. */
  | { kind: "empty" }
  /** Said once where records were overwritten before they were read. */
  | { kind: "overrun" }
  /** The kernel stepped over a record that it couldn't give. */
  | { kind: "skipped" };

/** A ring buffer, read from its oldest record on. `next` never waits. */
export interface Ring {
  next(): RingRead;
  /** The seq of the oldest record that it still has; undefined if it is empty. */
  oldestSeq(): number | undefined;
  close(): void;
}

export class RingError extends Error {
  override name = "RingError";
  readonly code = "no_kmsg";
}

/** Opens /dev/kmsg. Throws `RingError`, with what to do, where it can't be read. */
export function openRing(path = "/dev/kmsg"): Ring {
  let fd: number;
  const buffer = Buffer.alloc(limits.kmsgReadBytes);
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // Opening may succeed where reading isn't allowed (kernel.dmesg_restrict without CAP_SYSLOG).
    read(fd, buffer);
    closeSync(fd);
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new RingError(
      `Cannot read ${path} because it must be readable: ${
        (error as Error).message
      }. Run as root or ` +
        `with CAP_SYSLOG; in a container, which has none of its own, ship the program's output: ` +
        `PROGRAM | logmill-agent --source stdin`,
      { cause: error },
    );
  }
  return {
    next: () => read(fd, buffer),
    oldestSeq: () => oldestSeq(path),
    close: () => closeSync(fd),
  };
}

/** Each open file of the device has a place of its own in the ring, and begins at the oldest record. */
function oldestSeq(path: string): number | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const first = read(fd, Buffer.alloc(limits.kmsgReadBytes));
    return first.kind === "record" ? parseRecord(first.text.split("\n", 1)[0]!)?.seq : undefined;
  } finally {
    closeSync(fd);
  }
}

function read(fd: number, buffer: Buffer): RingRead {
  try {
    const length = readSync(fd, buffer, 0, buffer.length, null);
    if (length === 0) return { kind: "empty" };
    return { kind: "record", text: buffer.toString("latin1", 0, length) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EAGAIN") return { kind: "empty" };
    if (code === "EPIPE") return { kind: "overrun" };
    if (code === "EINVAL") return { kind: "skipped" };
    throw error;
  }
}
