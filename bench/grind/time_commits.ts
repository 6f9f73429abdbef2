/**
 * Run before the grinder (deno run --preload): takes the time of each of its commits, and says them in
 * milliseconds at its end, in a line of stderr that begins with `commits `.
 */
import process from "node:process";
import { Grind } from "../../grinder/grind.ts";

const { commit } = Grind.prototype;
const allMs: number[] = [];

Grind.prototype.commit = function (...args: Parameters<typeof commit>): void {
  const beginMs = performance.now();
  commit.apply(this, args);
  allMs.push(performance.now() - beginMs);
};
process.on("exit", () => console.error(`commits ${JSON.stringify(allMs)}`));
