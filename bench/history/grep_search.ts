/** `deno task grep` as a process, beside ripgrep (../grind/contenders.ts): how many records, and how fast. */
import { join } from "node:path";
import { denoPath, grinderPermissions, root } from "../../tests/programs.ts";
import type { Counted } from "../grind/contenders.ts";

/** From the process's start to its end, the runtime's own start included. */
export async function grep(folder: string, regex: string): Promise<Counted> {
  const startMs = performance.now();
  const program = ["run", ...grinderPermissions, "grinder/grep/main.ts"];
  const words = ["--count", "--data", join(folder, "data"), "--", regex];
  const child = Bun.spawn([denoPath, ...program, ...words], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = await new Response(child.stderr).text();
  const lines = Number((await new Response(child.stdout).text()).trim());
  const status = await child.exited;
  if (status > 1) throw new Error(`grep failed with status ${status}:\n${said}`);
  const seconds = (performance.now() - startMs) / 1000;
  return { lines, seconds, cpuSeconds: Number(child.resourceUsage()!.cpuTime.total) / 1e6 };
}
