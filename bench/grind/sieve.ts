/**
 * How fast the sieve is, step by step, by the number of rules, in MB of text for each second of one core:
 *
 *     deno run -A bench/grind/sieve.ts [--corpus FILE] [--frames N] [--rounds N]     (or bun)
 *
 * `sift` is the two tables alone, `scan` with the exact comparison and the lines that begin with #, `match`
 * with cutting out the records and the regexes. Of each frame the best of all rounds counts, since
 * other programs on the machine only ever make it slower.
 */
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import process from "node:process";
import { loadRules } from "../../grinder/load_rules.ts";
import type { Rule } from "../../grinder/rule.ts";
import { FrameMatcher } from "../../grinder/sieve/frame_matcher.ts";
import { GramRates } from "../../grinder/sieve/grams.ts";
import { Sieve } from "../../grinder/sieve/sieve.ts";
import { matchSlowly } from "../../grinder/sieve/slow_frame_matcher.ts";
import { type Frame, makeFrames } from "./sieve_frames.ts";
import { someRules } from "./sieve_rules.ts";

const { values } = parseArgs({
  options: {
    corpus: { type: "string" },
    frames: { type: "string", default: "12" },
    rounds: { type: "string", default: "20" },
  },
});
const shipped = await loadRules(fileURLToPath(new URL("../../rules.ts", import.meta.url)));
const rounds = Number(values.rounds);
const runtime = process.versions["bun"] ? "Bun" : "Deno";
console.log(`${runtime} ${process.versions["bun"] ?? `with V8 ${process.versions["v8"]}`}`);
console.log("blocks  rules  literals  sift  scan  match  hits/MiB  matches/MiB  build ms");
for (const blockBytes of [2_500, 256_000]) {
  const frames = makeFrames(Number(values.frames), blockBytes, values.corpus);
  for (const count of [26, 54, 128, 256]) {
    measure(someRules(shipped, count, frames[0]!), frames, blockBytes);
  }
}

function measure(rules: Rule[], frames: Frame[], blockBytes: number): void {
  const sample = frames[0]!.bytes.subarray(0, frames[0]!.length);
  const startMs = performance.now();
  const matcher = new FrameMatcher(rules, sample);
  const buildMs = performance.now() - startMs;
  checkEqual(rules, matcher, frames.at(-1)!);
  const literals = [...new Set(matcher.plans.flatMap(({ literals }) => literals ?? []))];
  const bytes = literals.map((literal) => Buffer.from(literal, "latin1"));
  const sieve = new Sieve(bytes, new GramRates(sample));
  let [hits, matches] = [0, 0];
  const found = () => matches++;
  const rates = bestRates(frames, {
    sift: ({ bytes, length }) =>
      void sieve.sift(new Int32Array(bytes.buffer, bytes.byteOffset, length + 31 >> 5 << 3)),
    scan: ({ bytes, length }) => {
      sieve.scan(bytes, length);
      hits += sieve.hits;
    },
    match: ({ bytes, length }) => matcher.match(bytes, length, found),
  });
  const perMiB = (n: number) => (n / rounds / frames.length).toFixed(0);
  const cells = [
    blockBytes,
    rules.length,
    literals.length,
    ...rates.map((rate) => rate.toFixed(0)),
  ];
  const titles = [
    "blocks",
    "rules",
    "literals",
    "sift",
    "scan",
    "match",
    "hits/MiB",
    "matches/MiB",
  ];
  const row = [...cells, perMiB(hits), perMiB(matches)].map((cell, i) =>
    String(cell).padStart(titles[i]!.length + (i === 0 ? 0 : 2))
  );
  console.log(`${row.join("")}${buildMs.toFixed(0).padStart(10)}`);
}

/** MB/s of each step, from the best time of each frame; the steps take turns. */
function bestRates(frames: Frame[], steps: Record<string, (frame: Frame) => void>): number[] {
  const all = Object.values(steps);
  const bestMs = all.map(() => frames.map(() => Infinity));
  for (let round = 0; round < rounds; round++) {
    for (const [s, step] of all.entries()) {
      for (const [f, frame] of frames.entries()) {
        const startMs = performance.now();
        step(frame);
        bestMs[s]![f] = Math.min(bestMs[s]![f]!, performance.now() - startMs);
      }
    }
  }
  const textBytes = frames.reduce((sum, { length }) => sum + length, 0);
  return bestMs.map((best) => textBytes / 1e3 / best.reduce((sum, ms) => sum + ms, 0));
}

/** What is fast must be right. */
function checkEqual(rules: Rule[], matcher: FrameMatcher, { bytes, length }: Frame): void {
  const [fast, slow]: [string[], string[]] = [[], []];
  matcher.match(bytes, length, (match) => fast.push(JSON.stringify(match)));
  const text = Buffer.from(bytes.buffer, 0, length).toString("latin1");
  matchSlowly(rules, text, (match) => slow.push(JSON.stringify(match)));
  if (fast.join() !== slow.join()) {
    throw new Error(`The sieve found ${fast.length} matches, its slow twin ${slow.length}`);
  }
}
