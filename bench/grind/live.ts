/**
 * How fast the grinder is while records come: from the receiver to the event at an ordinary rate, and how
 * far it is behind at the peak of a large fleet, on one core. README.md says how to read it; the last
 * line is JSON.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions, UsageError } from "../../shared/options.ts";
import { quantile } from "../../tests/demo/latency.ts";
import { root } from "../../tests/programs.ts";
import { type LagRow, lagRows, slopeOf } from "./lag.ts";
import { receiverLatency } from "./receiver_latency.ts";
import { replay, type Replayed } from "./replay.ts";
import { Report, round } from "./report.ts";

const script = "bench/grind/live.ts";
const { values } = programOptions(`Usage: bun ${script} [OPTIONS]`, {
  seconds: { type: "number", unit: "s", default: 60, help: "each of the two parts" },
  rate: { type: "number", unit: "MB/s", default: 80, help: "of text, replayed; 0: not at all" },
  "receiver-rate": {
    type: "number",
    unit: "MB/s",
    default: 1,
    help: "of text, through the receiver; 0: not at all",
  },
  devices: { type: "number", unit: "devices", default: 100, help: "that send to the receiver" },
  "replay-devices": { type: "number", unit: "devices", default: 100_000, help: "in the replay" },
  matching: { type: "number", unit: "%", default: 1.1, help: "lines of the replay that match" },
  rules: { type: "text", unit: "file", default: join(root, "rules.ts"), help: "of the grinder" },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "on the disk to be measured" },
  out: { type: "text", unit: "file", help: "takes what is printed, too" },
}, process.argv.slice(2));

/** In these the grinder has read what was there before it, and compiled what it runs most. */
const warmUpSeconds = 5;
/** Lag that grows by less than this share of the rate is flat: so much is noise in a minute. */
const flatShare = 0.005;

if (values.seconds <= warmUpSeconds) {
  const why = `the first ${warmUpSeconds} s don't count: it is ${values.seconds}`;
  console.error(new UsageError(`Cannot use --seconds because ${why}`).message);
  process.exit(2);
}
const folder = mkdtempSync(join(values.folder, "logmill-live-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
const report = new Report(script, values.out);

const received = values["receiver-rate"] === 0 ? undefined : await throughReceiver();
const replayed = values.rate === 0 ? undefined : await replayedFrames();
report.say(JSON.stringify({ ...received?.result, ...replayed?.result }));
process.exit((received?.ok ?? true) && (replayed?.ok ?? true) ? 0 : 1);

async function throughReceiver() {
  const { seconds, rules, devices, "receiver-rate": rateMB } = values;
  report.say(`\nreceiver and grinder, ${devices} devices, ${rateMB} MB/s, ${seconds} s`);
  const options = { data: join(folder, "received"), rules, seconds, rateMB, devices };
  const { latencyMs, events, records, ok, verdict } = await receiverLatency(options);
  const [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1].map((q) => quantile(latencyMs, q));
  report.say(verdict.trim());
  report.say(
    `from the receive time to the events file, ${latencyMs.length} events:\n` +
      `  p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, p99.9 ${p999} ms, most ${max} ms`,
  );
  const latency = { p50, p90, p99, p999, max };
  return { ok, result: { latency_ms: latency, latency_events: events, latency_records: records } };
}

async function replayedFrames() {
  const { seconds, rules, rate: rateMB, "replay-devices": devices, matching } = values;
  report.say(
    `\nreplay into a live epoch, ${devices} devices, ${rateMB} MB/s, ${seconds} s; the grinder on one ` +
      "core, --workers 0",
  );
  const all = await replay({ folder, rules, seconds, rateMB, devices, matching });
  const rows = lagRows(all.samples).filter(({ second }) => second < seconds);
  table(rows);
  const warm = rows.filter(({ second }) => second >= warmUpSeconds);
  const slope = slopeOf(warm.map(({ second, behindBytes }) => [second, behindBytes / 1e6]));
  const flat = Math.abs(slope) < flatShare * rateMB;
  sayReplayed(all, slope, flat);
  const behindMB = all.samples.map(({ behindBytes }) => behindBytes / 1e6);
  const newest = all.samples.map(({ newestMs }) => newestMs);
  const result = {
    replay_mb_s: round(all.textBytes / 1e6 / all.writerSeconds, 1),
    lag_mb_p50: quantile(behindMB, 0.5),
    lag_mb_per_s: round(slope, 4),
    flat,
    newest_ms: { p50: quantile(newest, 0.5), p99: quantile(newest, 0.99) },
    cpu_share: round(warm.reduce((sum, { cpuShare }) => sum + cpuShare, 0) / warm.length, 3),
    rss_mib: round(all.rssMiB),
    events: all.eventsOut,
    events_expected: all.events,
  };
  return { ok: all.events === all.eventsOut && flat, result };
}

function sayReplayed(all: Replayed, slope: number, flat: boolean): void {
  report.say(
    `${all.records} records in ${all.frames} frames, ${round(all.textBytes / 1e6)} MB of text, ` +
      `${round(all.storedBytes / 1e6)} MB stored, written in ${round(all.writerSeconds, 1)} s`,
  );
  report.say(`${all.events} events must come of it: ${all.eventsOut} did`);
  report.say(
    `the lag grows by ${round(slope, 3)} MB/s (${
      round(slope / values.rate * 100, 2)
    } % of the rate), ` +
      `without the first ${warmUpSeconds} s: ${flat ? "it is flat" : "IT ISN'T FLAT"}; ` +
      `all was out ${round(all.tailMs)} ms after the last commit`,
  );
}

function table(rows: readonly LagRow[]): void {
  report.table(
    ["second", "committed MB", "behind MB", "most", "newest event ms ago", "most", "CPU %"],
    rows.map((row) => [
      row.second,
      round(row.committedBytes / 1e6),
      (row.behindBytes / 1e6).toFixed(2),
      (row.behindBytesMax / 1e6).toFixed(2),
      round(row.newestMs),
      round(row.newestMsMax),
      round(row.cpuShare * 100),
    ]),
  );
}
