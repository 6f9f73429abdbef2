/** Process ids in; the CPU time they take from now on, how often they wake, and their memory. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

const MB = 1e6;
/** USER_HZ: what the kernel shows to programs, whatever it counts in itself. */
const tickMs = 10;

export interface Memory {
  rssMB: number;
  /** Pages that are nobody else's and in no file: only the process's end frees them. */
  ownDirtyMB: number;
  /** Pages of its own files that nobody else has mapped: the kernel can drop and read them again. */
  ownCleanMB: number;
  /** Pages that other processes have mapped, too: libc's for example. */
  sharedMB: number;
}

export interface Usage extends Memory {
  /** From the scheduler's clock, in nanoseconds: a tick is too coarse for a process that idles. */
  cpuMs: number;
  /** The same as utime + stime of /proc/PID/stat: in steps of 10 ms, but with threads that ended. */
  cpuTicksMs: number;
  /** Pages of files that were written: what flash is to take, without the file system's journal. */
  diskBytes: number;
  /** Times a thread waited and was woken again (voluntary context switches). */
  wakeUps: number;
  /** Times a thread was taken off its core (involuntary ones): depends on what else runs. */
  preempted: number;
}

type Counts = Pick<Usage, "cpuMs" | "wakeUps" | "preempted">;

/** Counts from its making on. To be looked at now and then, or threads that end are missed. */
export class UsageMeter {
  readonly #threads = new Map<string, { base: Counts; last: Counts }>();
  readonly #ticksAtStartMs: number;
  readonly #diskBytesAtStart: number;

  constructor(private readonly pids: readonly number[]) {
    for (const [tid, counts] of this.#read()) {
      this.#threads.set(tid, { base: counts, last: counts });
    }
    this.#ticksAtStartMs = this.#ticksMs();
    this.#diskBytesAtStart = this.#diskBytes();
  }

  look(): void {
    for (const [tid, last] of this.#read()) {
      const base = { cpuMs: 0, wakeUps: 0, preempted: 0 };
      this.#threads.set(tid, { base: this.#threads.get(tid)?.base ?? base, last });
    }
  }

  end(): Usage {
    this.look();
    const sum = (key: keyof Counts) =>
      [...this.#threads.values()].reduce(
        (total, { base, last }) => total + last[key] - base[key],
        0,
      );
    return {
      ...memoryOf(this.pids),
      cpuMs: sum("cpuMs"),
      cpuTicksMs: this.#ticksMs() - this.#ticksAtStartMs,
      diskBytes: this.#diskBytes() - this.#diskBytesAtStart,
      wakeUps: sum("wakeUps"),
      preempted: sum("preempted"),
    };
  }

  *#read(): Generator<[string, Counts]> {
    for (const pid of this.pids) {
      for (const tid of readdirSync(`/proc/${pid}/task`)) {
        const folder = `/proc/${pid}/task/${tid}`;
        try {
          const cpuNs = Number(readFileSync(`${folder}/schedstat`, "utf8").split(" ")[0]);
          const status = parseKeys(readFileSync(`${folder}/status`, "utf8"));
          const wakeUps = status.get("voluntary_ctxt_switches")!;
          const preempted = status.get("nonvoluntary_ctxt_switches")!;
          yield [`${pid}/${tid}`, { cpuMs: cpuNs / 1e6, wakeUps, preempted }];
        } catch { /* the thread ended between the two lines */ }
      }
    }
  }

  #diskBytes(): number {
    return this.pids.reduce((sum, pid) => {
      const io = parseKeys(readFileSync(`/proc/${pid}/io`, "utf8"));
      return sum + io.get("write_bytes")! - io.get("cancelled_write_bytes")!;
    }, 0);
  }

  #ticksMs(): number {
    return this.pids.reduce((sum, pid) => {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The program's name, in brackets, may have spaces; utime and stime are fields 14 and 15.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return sum + (Number(fields[11]) + Number(fields[12])) * tickMs;
    }, 0);
  }
}

/** The sum over the processes. */
function memoryOf(pids: readonly number[]): Memory {
  const rollups = pids.map((pid) => parseKeys(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")));
  const sum = (...keys: string[]) =>
    rollups.reduce((total, r) => total + keys.reduce((t, key) => t + r.get(key)!, 0), 0) * 1024 /
    MB;
  return {
    rssMB: sum("Rss"),
    ownDirtyMB: sum("Private_Dirty"),
    ownCleanMB: sum("Private_Clean"),
    sharedMB: sum("Shared_Clean", "Shared_Dirty"),
  };
}

/** Lines `Key:  123 kB` to numbers. */
export function parseKeys(text: string): Map<string, number> {
  return new Map(
    [...text.matchAll(/^(\w+):\s+(\d+)/gm)].map(([, key, value]) => [key!, Number(value)]),
  );
}

/** Bytes of the files that the processes run from: the programs, their libraries and modules. */
export function filesRun(pids: readonly number[]): { programMB: number; allMB: number } {
  const size = (paths: Iterable<string>) =>
    [...paths].reduce((sum, p) => sum + statSync(p).size, 0);
  const programs = new Set(pids.map((pid) => readlinkSync(`/proc/${pid}/exe`)));
  const all = new Set(
    pids.flatMap((pid) => executableMaps(readFileSync(`/proc/${pid}/maps`, "utf8"))),
  );
  return { programMB: size(programs) / MB, allMB: size(all) / MB };
}

/** Paths of /proc/PID/maps that are mapped to be run. */
export function executableMaps(maps: string): string[] {
  return [
    ...new Set([...maps.matchAll(/^\S+ ..x. \S+ \S+ \d+ +(\/.*)$/gm)].map(([, path]) => path!)),
  ];
}
