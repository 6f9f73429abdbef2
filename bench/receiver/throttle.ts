/**
 * A disk that is slower than it is: the kernel's own throttle on writes of one process to one disk
 * (cgroup v1, blkio.throttle.write_bps_device; as root). What the process writes and syncs goes at that
 * rate; the file system's journal doesn't count.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";

const controller = "/sys/fs/cgroup/blkio";

/** Why it can't be done here; undefined if it can. */
export function noThrottle(folder: string): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(join(controller, "blkio.throttle.write_bps_device"))) {
    return `needs cgroup v1's blkio controller at ${controller}`;
  }
  if (!existsSync(diskOf(folder))) return `${folder} isn't on a disk`;
  return undefined;
}

export class Throttle implements Disposable {
  readonly #group = join(controller, `logmill-bench-${process.pid}`);

  constructor(folder: string, bytesPerSecond: number) {
    removeOld();
    mkdirSync(this.#group);
    const disk = readFileSync(join(diskOf(folder), "dev"), "utf8").trim();
    const file = join(this.#group, "blkio.throttle.write_bps_device");
    writeFileSync(file, `${disk} ${bytesPerSecond}`);
  }

  /** From now on the process and those that it starts are slowed. */
  add(pid: number): void {
    writeFileSync(join(this.#group, "cgroup.procs"), String(pid));
  }

  /** After the process has ended. */
  [Symbol.dispose](): void {
    rmdirSync(this.#group);
  }
}

/** Those of runs that were killed. One that is in use can't be removed, and isn't. */
function removeOld(): void {
  for (const group of readdirSync(controller)) {
    if (!group.startsWith("logmill-bench-")) continue;
    try {
      rmdirSync(join(controller, group));
    } catch { /* in use */ }
  }
}

/** The disk in sysfs; of a partition the disk that it is on, which is what can be slowed. */
function diskOf(folder: string): string {
  const { dev } = statSync(folder, { bigint: true });
  // As the C library's major() and minor().
  const major = (dev >> 8n) & 0xfffn;
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xfff00n);
  const device = `/sys/dev/block/${major}:${minor}`;
  return existsSync(join(device, "partition")) ? join(device, "..") : device;
}
