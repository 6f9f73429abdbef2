/** `deno task grep` and `deno task index` as processes, beside ripgrep (../grind/contenders.ts). */
import { join } from "node:path";
import { denoPath, grinderPermissions, root } from "../../tests/programs.ts";
import type { Counted } from "../grind/contenders.ts";

/** How many records, and how fast. */
export async function grep(folder: string, regex: string): Promise<Counted> {
  const words = ["--count", "--data", join(folder, "data"), "--", regex];
  const { out, ...run } = await deno("grinder/grep/main.ts", words, 1);
  return { lines: Number(out), ...run };
}

/** All of it that there isn't yet. */
export async function index(folder: string): Promise<Counted> {
  const { out: _, ...run } = await deno("grinder/index/main.ts", ["--data", join(folder, "data")]);
  return { lines: 0, ...run };
}

/** From the process's start to its end, the runtime's own start included. */
async function deno(program: string, words: string[], statusMax = 0) {
  const startMs = performance.now();
  const child = Bun.spawn([denoPath, "run", ...grinderPermissions, program, ...words], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = await new Response(child.stderr).text();
  const out = (await new Response(child.stdout).text()).trim();
  const status = await child.exited;
  if (status > statusMax) throw new Error(`${program} failed with status ${status}:\n${said}`);
  const seconds = (performance.now() - startMs) / 1000;
  return { out, seconds, cpuSeconds: Number(child.resourceUsage()!.cpuTime.total) / 1e6 };
}
