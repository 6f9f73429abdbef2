/** ripgrep on the same data with the same patterns: how many lines match, and how fast. */
import { join } from "node:path";

export interface Counted {
  lines: number;
  seconds: number;
  /** Of all processes. */
  cpuSeconds: number;
}

/** Both halves at the same time, as plain text. */
export function ripgrep(folder: string): Promise<Counted> {
  return count(folder, (half, patterns) => `rg ${options} -f ${patterns} ${half}.txt`);
}

/** Both halves at the same time, as they are stored. */
export function zstdcatRipgrep(folder: string): Promise<Counted> {
  return count(folder, (half, patterns) => `zstdcat ${half}.zst | rg ${options} -f ${patterns}`);
}

/** Stored text is ASCII. */
const options = "--no-unicode --count";

async function count(
  folder: string,
  command: (half: string, patterns: string) => string,
): Promise<Counted> {
  const patterns = join(folder, "patterns");
  const startMs = performance.now();
  const halves = await Promise.all(
    [0, 1].map((half) => run(command(join(folder, `half-${half}`), patterns))),
  );
  const seconds = (performance.now() - startMs) / 1000;
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
  return {
    lines: sum(halves.map(({ said }) => Number(said))),
    seconds,
    cpuSeconds: sum(halves.map(({ cpuSeconds }) => cpuSeconds)),
  };
}

/** A shell's command, with all that it starts. */
async function run(command: string): Promise<{ said: string; cpuSeconds: number }> {
  const child = Bun.spawn(["sh", "-c", command], { stdio: ["ignore", "pipe", "inherit"] });
  const said = (await new Response(child.stdout).text()).trim();
  await child.exited;
  return { said, cpuSeconds: Number(child.resourceUsage()!.cpuTime.total) / 1e6 };
}

/** Why they can't be run; undefined if they can. */
export async function missing(): Promise<string | undefined> {
  for (const program of ["rg", "zstdcat"]) {
    const found = await run(`command -v ${program} || true`);
    if (found.said === "") return `${program} isn't installed (Debian packages ripgrep and zstd)`;
  }
  return undefined;
}
