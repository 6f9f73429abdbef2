/**
 * The grinder, killed with SIGKILL at random moments, many times: of closed segments its output must be,
 * byte for byte, that of an undisturbed run; of segments that are still written it must be the same as a
 * set. The last line is JSON.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { loadRules } from "../../grinder/load_rules.ts";
import { LiteralMatcher } from "../../grinder/match.ts";
import { programOptions } from "../../shared/options.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { type Program, root, startGrinder } from "../../tests/programs.ts";
import { fleetLines } from "./corpus.ts";
import { LiveWriter } from "./live_writer.ts";
import { countersOf, differences, eventTimes, finalAggregates, textOf } from "./outputs.ts";
import { Report, round } from "./report.ts";
import { storeCorpus } from "./stored_corpus.ts";

const script = "bench/grind/kill.ts";
const { values } = programOptions(`Usage: bun ${script} [OPTIONS]`, {
  kills: { type: "number", unit: "times", default: 50, help: "each of the two parts" },
  workers: { type: "number", unit: "threads", default: 2, help: "of the grinder" },
  text: { type: "number", unit: "MiB", default: 512, help: "in closed segments" },
  rate: { type: "number", unit: "MB/s", default: 4, help: "of text, into live segments" },
  matching: { type: "number", unit: "%", default: 3, help: "lines that match a rule" },
  seed: { type: "number", unit: "number", default: 1, help: "decides text and moments" },
  rules: { type: "text", unit: "file", default: join(root, "rules.ts"), help: "of the grinder" },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "for everything" },
  out: { type: "text", unit: "file", help: "takes what is printed, too" },
}, process.argv.slice(2));

/** Moments are within the time that the grinder takes from its first read on, and a little more. */
const killWithin = 1.05;
const liveKillMs = 1_000;
/** Half of them come this share of it after it has begun to write: there its output is half done. */
const afterWriting = 0.2;
const lookMs = 2;

const folder = mkdtempSync(join(values.folder, "logmill-kill-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
const report = new Report(script, values.out);
const random = seededRandom(values.seed);
const matcher = new LiteralMatcher(await loadRules(values.rules));
const nextLine = fleetLines(random, matcher, values.matching / 100);
const options = ["--rules", values.rules, "--workers", String(values.workers)];

const closed = await closedSegments();
const live = await liveSegments();
report.say(JSON.stringify({ closed, live }));
process.exit(closed.same && live.same ? 0 : 1);

async function closedSegments() {
  const place = join(folder, "closed");
  const data = join(place, "data");
  await storeCorpus({
    ...{ folder: place, textBytes: values.text * 1024 * 1024, devices: 500, blockBytes: 2_500 },
    ...{ random, nextLine },
  });
  const right = join(place, "right");
  const undisturbed = await startGrinder(data, "--out", right, "--once", ...options);
  const beganMs = performance.now();
  await undisturbed.exited();
  const takesMs = performance.now() - beganMs;
  const [events, aggregates] = [textOf(right, "events"), textOf(right, "aggregates")];
  report.say(
    `\nclosed segments: ${values.text} MiB, undisturbed in ${round(takesMs)} ms: ` +
      `${events.length} bytes of events, ${aggregates.length} of aggregates`,
  );
  let [kills, grinds, same] = [0, 0, true];
  while (kills < values.kills) {
    const out = join(place, `killed-${grinds++}`);
    kills += await grindKilled(data, out, values.kills - kills, takesMs);
    const equal = textOf(out, "events") === events && textOf(out, "aggregates") === aggregates &&
      Bun.deepEquals(countersOf(out), countersOf(right));
    report.say(`grind ${grinds} ends: ${equal ? "byte-identical" : "NOT THE SAME"}`);
    same &&= equal;
    rmSync(out, { recursive: true });
  }
  return { kills, grinds, events: events.split("\n").length - 1, same };
}

/** To its end. Returns how often it was killed. */
async function grindKilled(data: string, out: string, most: number, ms: number): Promise<number> {
  for (let kills = 0;; kills++) {
    const grinder = await startGrinder(data, "--out", out, "--once", ...options);
    if (kills < most) await killMoment(grinder, out, ms * killWithin);
    if (kills === most || !grinder.running) {
      const status = await grinder.exited();
      if (status !== 0) throw new Error(`the grinder ended with ${status}:\n${grinder.output}`);
      return kills;
    }
    await grinder.kill();
    report.say(`  killed: ${written(out)}`);
  }
}

/** Some time after its start, or after it has written; or its end. */
async function killMoment(grinder: Program, out: string, ms: number): Promise<void> {
  const before = written(out);
  if (random() < 0.5) {
    while (grinder.running && written(out) === before) await Bun.sleep(lookMs);
    ms *= afterWriting;
  }
  await Promise.race([grinder.exited(), Bun.sleep(random() * ms)]);
}

async function liveSegments() {
  const place = join(folder, "live");
  const data = join(place, "data");
  const out = join(place, "out");
  report.say(`\nlive segments, ${values.rate} MB/s`);
  const writer = await LiveWriter.start({ data, rateMB: values.rate, random, nextLine });
  for (let kill = 0; kill < values.kills; kill++) {
    const grinder = await startGrinder(data, "--out", out, ...options);
    await killMoment(grinder, out, liveKillMs);
    await grinder.kill();
    report.say(`  killed: ${written(out)}`);
  }
  await writer.stop();
  await (await startGrinder(data, "--out", out, "--once", ...options)).exited();
  const right = join(place, "right");
  await (await startGrinder(data, "--out", right, "--once", ...options)).exited();
  const events = differences(eventTimes(out), eventTimes(right));
  const aggregates = differences(finalAggregates(out), finalAggregates(right));
  const { records = 0, resent_records: resent = 0 } = countersOf(out);
  const count = eventTimes(right).size;
  report.say(
    `${round(writer.textBytes / 1e6)} MB of text, ${records} records, ${resent} sent again, ` +
      `${count} events: ${events.missing} missing, ${events.more} too many, ` +
      `${events.changed} of another time; ${finalAggregates(right).size} aggregates: ` +
      `${aggregates.missing} missing, ${aggregates.more} too many, ${aggregates.changed} different`,
  );
  const same = events.missing + events.more === 0 &&
    aggregates.missing + aggregates.more + aggregates.changed === 0 &&
    Bun.deepEquals(countersOf(out), countersOf(right));
  return { kills: values.kills, records, resent, events: count, same };
}

/** What is there when it has been killed, finished or not. */
function written(out: string): string {
  const bytesOf = (kind: string) => {
    const place = join(out, kind);
    if (!existsSync(place)) return 0;
    return readdirSync(place).reduce((sum, name) => sum + statSync(join(place, name)).size, 0);
  };
  return `${bytesOf("events")} bytes of events, ${bytesOf("aggregates")} of aggregates`;
}
