/** The grinder as a process, from the first read to its end: how long, at what cost, and what came out. */
import { createReadStream, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { denoPath, grinderPermissions, root } from "../../tests/programs.ts";

export interface GrinderRun {
  /** From when it says that it begins to its end, everything committed. */
  seconds: number;
  /** Until it says so: the runtime's start, and the rules'. */
  startSeconds: number;
  /** Of the whole process. */
  cpuSeconds: number;
  rssMiB: number;
  events: number;
  /** Records that have at least one event. */
  records: number;
}

export async function grind(folder: string, ...more: string[]): Promise<GrinderRun> {
  const out = join(folder, "out");
  rmSync(out, { recursive: true, force: true });
  const options = ["--data", join(folder, "data"), "--out", out, "--once", ...more];
  const rules = ["--rules", join(folder, "rules.ts")];
  const startMs = performance.now();
  const program = ["run", ...grinderPermissions, "grinder/main.ts"];
  const child = Bun.spawn([denoPath, ...program, ...options, ...rules], {
    cwd: root,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let [said, beginMs, rssMiB] = ["", NaN, 0];
  const watch = setInterval(() => rssMiB = Math.max(rssMiB, mostRssMiB(child.pid)), 20);
  for await (const chunk of child.stderr) {
    said += new TextDecoder().decode(chunk);
    if (Number.isNaN(beginMs) && said.includes("rules, from")) beginMs = performance.now();
  }
  const status = await child.exited;
  clearInterval(watch);
  if (status !== 0) throw new Error(`the grinder failed:\n${said}`);
  const endMs = performance.now();
  const { cpuTime } = child.resourceUsage()!;
  return {
    seconds: (endMs - beginMs) / 1000,
    startSeconds: (beginMs - startMs) / 1000,
    cpuSeconds: Number(cpuTime.total) / 1e6,
    rssMiB,
    ...await countEvents(join(out, "events")),
  };
}

/** Up to now. What the kernel says at a child's end counts what its parent had, too. */
function mostRssMiB(pid: number): number {
  try {
    const [, kiB] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
    return Number(kiB ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Of records: a record's events stand one behind the other. */
async function countEvents(folder: string): Promise<{ events: number; records: number }> {
  let [events, records, before] = [0, 0, ""];
  for (const file of readdirSync(folder).sort()) {
    for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) {
      // What no line says is of no record.
      if (line.includes('"segment":"-"')) continue;
      events++;
      const place = line.slice(line.lastIndexOf('"segment"'));
      if (place !== before) records++;
      before = place;
    }
  }
  return { events, records };
}
