/**
 * Our receiver beside nginx's dav PUT, under wrk: the same bodies, the same file system, one after the
 * other in turn. Goes out: requests a second, times and memory of both, and how they compare.
 *
 * What isn't the same: ours has every body on disk (fdatasync) before it answers, nginx has it in the
 * page cache; ours checks who sent it, and compresses it; nginx runs in two processes, ours in one.
 *
 * nginx has two paces: a burst, until the page cache is full of what isn't on disk, and then the disk's.
 * A receiver runs for months; a run of 40 s has both, a third of it being the burst. All of it is compared;
 * its first 8 s, at which ours loses, stand beside it.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Identity } from "../../shared/identity.ts";
import { identities } from "./devices.ts";
import { nginxVersion, startNginx } from "./nginx.ts";
import { type Contender, cpuMs, rssMiB, startReceiver } from "./wrk_contender.ts";
import { type Bodies, type BodyKind, fileHeads, makeBodies } from "./wrk_load.ts";
import { uploadHeads, writeLoad } from "./wrk_load.ts";
import {
  answersOf,
  type Measured,
  perSecond,
  type Program,
  ratio,
  type Row,
  rowOf,
} from "./wrk_rows.ts";
import { runWrk, wrkVersion } from "./wrk_run.ts";

export interface WrkOptions {
  /** On a real disk: on tmpfs there is nothing to sync. A folder of its own is made in it. */
  folder?: string;
  /** Of each run. nginx writes up to 0.35 GB a second, and tokens are good for five minutes. */
  seconds?: number;
  /** Runs of each program, for each body and number of connections. */
  rounds?: number;
  kinds?: BodyKind[];
  print?: (text: string) => void;
}

/** Ratios are ours to nginx's, of the medians: more is better for us. NaN where it wasn't measured. */
export interface WrkResult {
  /** 30 KiB of plain text, whole runs. */
  nginx_ratio_64: number;
  nginx_ratio_1024: number;
  /** The same, of the first seconds: nginx fills the page cache. */
  nginx_ratio_64_burst: number;
  nginx_ratio_1024_burst: number;
  /** 30 KiB zstd frames of some 200 KB of text, which we decode and compress again, and nginx doesn't. */
  nginx_ratio_frame_64: number;
  nginx_ratio_frame_1024: number;
  /** Answered by us with 200 and not stored; 0, or the comparison is worth nothing. */
  wrk_lost: number;
  /** Requests to us that were refused, or broke. */
  wrk_refused: number;
  rows: Row[];
  versions: { nginx: string; wrk: string; fileSystem: string };
  /** What wrk printed, run by run. */
  raw: string;
}

/** As many as connections: each has a token of its own, which is verified once. */
const devices = 1_024;
const connectionCounts = [64, 1_024];
/** Of each run these are said by themselves: nginx writes into the page cache for some 12 s. */
const burstSeconds = 8;

export async function wrkPart(options: WrkOptions = {}): Promise<WrkResult | { skipped: string }> {
  const [nginx, wrk] = [nginxVersion(), wrkVersion()];
  if (!nginx || !wrk) return { skipped: "it needs `apt-get install nginx-light wrk`" };
  const folder = mkdtempSync(join(options.folder ?? tmpdir(), "logmill-wrk-"));
  try {
    const fileSystem = execFileSync("df", ["--output=fstype", folder], { encoding: "utf8" });
    const versions = { nginx, wrk, fileSystem: fileSystem.trim().split("\n").at(-1)! };
    const comparison = new Comparison(folder, await identities(0, devices), options);
    for (const kind of options.kinds ?? ["text", "frame"]) await comparison.compare(kind);
    return comparison.result(versions);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

class Comparison {
  readonly #rows: Row[] = [];
  readonly #ours: Measured[] = [];
  readonly #print: (text: string) => void;
  #raw = "";
  #runs = 0;

  constructor(
    private readonly folder: string,
    private readonly devices: Identity[],
    private readonly options: WrkOptions,
  ) {
    this.#print = options.print ?? console.log;
  }

  async compare(kind: BodyKind): Promise<void> {
    const bodies = makeBodies(kind, this.folder);
    for (const connections of connectionCounts) {
      const runs: Record<Program, Measured[]> = { logmill: [], nginx: [] };
      for (let round = 0; round < (this.options.rounds ?? 2); round++) {
        for (const program of ["logmill", "nginx"] as const) {
          runs[program].push(await this.#run(program, bodies, connections));
        }
      }
      this.#ours.push(...runs.logmill);
      this.#rows.push(rowOf("logmill", bodies, connections, runs.logmill));
      this.#rows.push(rowOf("nginx", bodies, connections, runs.nginx));
    }
  }

  result(versions: WrkResult["versions"]): WrkResult {
    const sum = (of: (run: Measured) => number) =>
      this.#ours.reduce((total, run) => total + of(run), 0);
    return {
      nginx_ratio_64: ratio(this.#rows, "text", 64, "requestsPerSecond"),
      nginx_ratio_1024: ratio(this.#rows, "text", 1_024, "requestsPerSecond"),
      nginx_ratio_64_burst: ratio(this.#rows, "text", 64, "burstPerSecond"),
      nginx_ratio_1024_burst: ratio(this.#rows, "text", 1_024, "burstPerSecond"),
      nginx_ratio_frame_64: ratio(this.#rows, "frame", 64, "requestsPerSecond"),
      nginx_ratio_frame_1024: ratio(this.#rows, "frame", 1_024, "requestsPerSecond"),
      wrk_lost: sum((run) => Math.max(0, run.answered - run.stored)),
      wrk_refused: sum(({ burst, rest }) =>
        burst.statuses + burst.broken + rest.statuses + rest.broken
      ),
      rows: this.#rows,
      versions,
      raw: this.#raw,
    };
  }

  /** A program and a folder of its own each time, on a disk that has nothing left to write. */
  async #run(program: Program, bodies: Bodies, connections: number): Promise<Measured> {
    const name = `${++this.#runs}-${program}`;
    const folder = join(this.folder, name);
    mkdirSync(folder);
    execFileSync("sync", ["-f", folder]);
    const contender = program === "nginx"
      ? await startNginx(folder)
      : await startReceiver(folder, this.devices);
    const heads = program === "nginx"
      ? fileHeads(this.devices)
      : await uploadHeads(this.devices, bodies.kind);
    const send = (tag: string, seconds: number) => {
      const load = join(this.folder, `${name}-${tag}.lua`);
      writeLoad(load, tag, bodies, heads);
      return runWrk(contender.port, load, connections, seconds);
    };
    const measured = await this.#measure(contender, send).finally(() => contender.stop());
    const { burst, rest } = measured;
    const result = {
      ...measured,
      answered: answersOf(burst, rest),
      stored: await contender.stored(),
    };
    const line = `${name}, ${bodies.kind}, ${connections} connections: ${describe(result)}`;
    this.#print(line);
    this.#raw += `${line}\nthe first ${burstSeconds} s: ${burst.raw}\nthe rest: ${rest.raw}\n`;
    // nginx's would fill the disk. The next run begins with a sync, for deleting goes on behind the scenes.
    rmSync(folder, { recursive: true, force: true });
    return result;
  }

  async #measure(
    contender: Contender,
    send: (tag: string, seconds: number) => ReturnType<typeof runWrk>,
  ) {
    const { seconds = 40 } = this.options;
    const cpuBeforeMs = cpuMs(contender.pids);
    let mostMiB = 0;
    const look = () => mostMiB = Math.max(mostMiB, rssMiB(contender.pids));
    const sampler = setInterval(look, 250);
    try {
      const burst = await send("b", burstSeconds);
      const rest = await send("r", Math.max(1, seconds - burstSeconds));
      return { burst, rest, rssMiB: mostMiB, cpuMs: cpuMs(contender.pids) - cpuBeforeMs };
    } finally {
      clearInterval(sampler);
    }
  }
}

function describe({ burst, rest, rssMiB, cpuMs, answered, stored }: Measured): string {
  return [
    `${perSecond(burst, rest)} requests/s`,
    `first ${burstSeconds} s ${perSecond(burst)}`,
    `the rest ${perSecond(rest)}`,
    `p50 ${rest.p50Ms} ms`,
    `p99 ${rest.p99Ms} ms`,
    `CPU ${(1000 * cpuMs / answered).toFixed(0)} us a body`,
    `RSS ${rssMiB.toFixed(0)} MiB`,
    `answered ${answered}`,
    `stored ${stored}`,
    `refused ${burst.statuses + rest.statuses}`,
    `broken ${burst.broken + rest.broken}`,
    `over 2 s ${burst.timeouts + rest.timeouts}`,
  ].join(", ");
}
