/** One run of wrk: what it is to send in, what it measured out. */
import { execFile, execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const script = fileURLToPath(new URL("wrk_upload.lua", import.meta.url));

export interface WrkRun {
  requests: number;
  seconds: number;
  /** Answers with a status of 400 or more. */
  statuses: number;
  /** Connections that couldn't be made or broke. */
  broken: number;
  /** Answers that took more than 2 s, which is wrk's limit; they are counted when they come. */
  timeouts: number;
  p50Ms: number;
  p99Ms: number;
  raw: string;
}

/** @param load the Lua file of wrk_load.ts */
export async function runWrk(
  port: number,
  load: string,
  connections: number,
  seconds: number,
): Promise<WrkRun> {
  const url = `http://127.0.0.1:${port}/`;
  const args = ["-t2", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", script, url, load];
  const { stdout } = await promisify(execFile)("wrk", args);
  return parseWrk(stdout);
}

/** Reads the line that wrk_upload.lua prints at the end. */
export function parseWrk(stdout: string): WrkRun {
  const json = /^wrk: (.+)$/m.exec(stdout)?.[1];
  if (json === undefined) throw new Error(`wrk printed no result:\n${stdout}`);
  const { micros, p50Us, p99Us, ...counts } = JSON.parse(json);
  const raw = stdout.replace(/^wrk: .*\n/m, "");
  return { ...counts, seconds: micros / 1e6, p50Ms: p50Us / 1000, p99Ms: p99Us / 1000, raw };
}

export function wrkVersion(): string | undefined {
  // It prints its version and exits with 1.
  const said = execFileSync("sh", ["-c", "wrk -v 2>&1 || true"], { encoding: "utf8" });
  return /^wrk \S+/.exec(said)?.[0];
}
