/** The status that an agent has left, as words for people or JSON for what watches it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { limits } from "../shared/limits.ts";
import { type SourceJson, statusFile, type StatusJson } from "./status.ts";

export interface StatusReport {
  text: string;
  /** It was there lately: the exit status of `agent status`. */
  running: boolean;
}

/** The newest status in one of these folders, at Unix time `nowMs`. */
export function reportStatus(
  folders: string[],
  nowMs: number,
  { json = false, alive = isAlive }: { json?: boolean; alive?: (pid: number) => boolean } = {},
): StatusReport {
  const status = folders.map(readStatus).filter((status) => status !== undefined)
    .toSorted((a, b) => b.written_ms - a.written_ms)[0];
  if (!status) return { running: false, text: json ? `{"running":false}\n` : noStatus(folders) };
  const there = alive(status.pid);
  // Not from the future either: the clock was set back since, and the agent hasn't written.
  const fresh = Math.abs(nowMs - status.written_ms) <= limits.statusOldMs;
  const running = there && fresh;
  if (json) return { running, text: `${JSON.stringify({ running, ...status }, null, 2)}\n` };
  const sources = Object.entries(status.sources).map((entry) => describeSource(...entry, nowMs));
  const text = [headline(status, there, running, nowMs), ...sources].join("\n\n");
  return { running, text: `${text}\n` };
}

/** Undefined if there is none, or none that a version like this one wrote. */
function readStatus(folder: string): StatusJson | undefined {
  try {
    const status = JSON.parse(readFileSync(join(folder, statusFile), "utf8")) as StatusJson;
    const numbers = [status.pid, status.started_ms, status.written_ms];
    const known = numbers.every(Number.isFinite) && typeof status.sources === "object";
    return known ? status : undefined;
  } catch {
    return undefined;
  }
}

/** Signal 0 only asks; EPERM is somebody else's process. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function noStatus(folders: string[]): string {
  return `No agent has left its status in ${folders.join(" or ")}. ` +
    "It isn't running, or with another --state or --run.\n";
}

function headline(status: StatusJson, there: boolean, running: boolean, nowMs: number): string {
  const { version, pid, started_ms, written_ms } = status;
  const silent = duration(nowMs - written_ms);
  if (running) {
    return `logmill-agent ${version} is running: process ${pid}, for ${
      duration(nowMs - started_ms)
    }`;
  }
  return there
    ? `logmill-agent isn't running, or it hangs: process ${pid} has said nothing for ${silent}. Then:`
    : `logmill-agent isn't running: process ${pid} is gone. What it said last, ${silent} ago:`;
}

function describeSource(name: string, source: SourceJson, nowMs: number): string {
  const { receiver, error, gaps } = source;
  const missing = Object.entries(gaps).map(([cause, count]) => `${count} ${cause}`);
  const lines = [
    receiver === undefined ? name : `${name} to ${receiver}`,
    describeAcked(source, nowMs),
    describeWaiting(source),
  ];
  if (error) lines.push(describeError(error, nowMs));
  if (missing.length > 0) lines.push(`records missing since its start: ${missing.join(", ")}`);
  return lines.join("\n  ");
}

function describeAcked({ seq, acked_ms }: SourceJson, nowMs: number): string {
  if (seq === undefined) return "no record is acknowledged yet";
  const when = acked_ms === undefined ? "before its start" : `${duration(nowMs - acked_ms)} ago`;
  return `acknowledged up to record ${seq}, ${when}`;
}

function describeWaiting(source: SourceJson): string {
  const { waiting_frames, waiting_text_bytes, spool_bytes } = source;
  if (waiting_frames === 0 && spool_bytes === 0) return "nothing waits";
  const spooled = spool_bytes > 0 ? `, ${bytes(spool_bytes)} in the spool` : "";
  return `waiting: ${bytes(waiting_text_bytes)} in ${plural(waiting_frames, "frame")}${spooled}`;
}

function describeError(error: NonNullable<SourceJson["error"]>, nowMs: number): string {
  const { why, since_ms, over_ms } = error;
  const times = plural(error.failures, "failure");
  if (over_ms === undefined) {
    return `CAN'T UPLOAD since ${duration(nowMs - since_ms)}, ${times}: ${why}`;
  }
  const lasted = duration(over_ms - since_ms);
  return `all is well since ${duration(nowMs - over_ms)}; before, for ${lasted}, ${times}: ${why}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function bytes(count: number): string {
  if (count < 1024) return plural(count, "byte");
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(0)} KiB`;
  return `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 120) return `${seconds} s`;
  if (minutes < 120) return `${minutes} min`;
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
