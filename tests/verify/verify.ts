/**
 * A receiver's storage, a grinder's outputs and a fleet's journal in; what was lost and what was
 * counted twice out. It reads everything from the beginning and keeps its own books; give it a storage
 * on which nobody works any more, and a grinder's outputs that are complete (`--once`).
 */
import { createReadStream, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { loadRules } from "../../grinder/load_rules.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { type JournalStream, readJournal } from "../fleet/journal.ts";
import { type AggregateLine, CheckedAggregates, EventSeconds } from "./aggregates.ts";
import { type EventLine, ExpectedEvents } from "./events.ts";
import { type Doubtful, LastWords } from "./last_words.ts";
import { type Distinct, type StoredStream, StoredStreams, streamKey } from "./streams.ts";
import {
  emptyStream,
  emptyTotals,
  isOk,
  type StreamVerdict,
  type Totals,
  type Verdict,
} from "./verdict.ts";

export { formatVerdict, type Verdict } from "./verdict.ts";

export interface VerifyOptions {
  /** The receivers' folder. */
  data: string;
  /** The grinder's; by default the same. */
  out?: string | undefined;
  /** The fleet's, to know what was acknowledged. */
  journal?: string | undefined;
  /** The rules file; without it events and aggregates aren't looked at. */
  rules?: string | undefined;
}

/** A problem in words; the first ones tell. */
const examplesMax = 20;

export async function verify(options: VerifyOptions): Promise<Verdict> {
  const { data, out = data, journal, rules } = options;
  const entries = journal === undefined ? [] : await readJournal(journal);
  const expected = new ExpectedEvents(rules === undefined ? [] : await loadRules(rules));
  const segments = new FolderStorage(data);
  const words = rules === undefined ? new LastWords() : await LastWords.of(segments);
  const storage = new StoredStreams((found) => expectRecord(expected, words, found));
  await storage.read(segments);
  for (const doubtful of words.rest()) expectDoubtful(expected, doubtful);
  const books = new Books();
  for (const [key, stream] of storage.streams) books.addStored(key, stream);
  for (const entry of entries) books.addAcked(entry, storage.streams.get(streamKey(entry))?.stored);
  books.totals.damaged = storage.totals.damagedFrames;
  books.totals.badLines = storage.totals.badLines;
  if (rules !== undefined) await checkOutputs(out, expected, entries, books);
  return books.verdict();
}

function expectRecord(expected: ExpectedEvents, words: LastWords, found: Distinct): void {
  const taken = words.take(found);
  if (taken === undefined) expected.expect(found);
  else if (taken !== "later") expectDoubtful(expected, taken);
}

function expectDoubtful(expected: ExpectedEvents, { found, lines, counts }: Doubtful): void {
  if (counts) expected.expect(found, lines);
  else expected.allow(found, lines);
}

/** What is found, by stream and in total. */
class Books {
  readonly totals = emptyTotals();
  readonly #streams = new Map<string, StreamVerdict>();
  readonly #examples: string[] = [];

  addStored(key: string, { stored, explained, ...names }: StoredStream): void {
    const stream = this.stream(key, names);
    const either = setOf([...stored.intervals(), ...explained.intervals()]);
    const holes = setOf(either.missing());
    stream.records = stored.count;
    stream.resent = names.resent;
    stream.reordered = names.reordered;
    stream.explained = explained.subtract(stored).count + names.unnumbered;
    stream.holes = holes.count;
    if (holes.count > 0) this.example(`${key}: neither stored nor explained: ${brief(holes)}`);
  }

  addAcked(entry: JournalStream, stored = new IntervalSet()): void {
    const key = streamKey(entry);
    const lost = entry.acked.subtract(stored);
    this.stream(key, entry).lost += lost.count;
    if (lost.count > 0) this.example(`${key}: acknowledged and not stored: ${brief(lost)}`);
  }

  stream(
    key: string,
    names: Pick<StreamVerdict, "device" | "boot" | "source" | "stream">,
  ): StreamVerdict {
    const known = this.#streams.get(key);
    if (known) return known;
    const fresh = emptyStream(names);
    this.#streams.set(key, fresh);
    return fresh;
  }

  missingEvents(key: string, rule: string, numbers: number[]): void {
    this.#streams.get(key)!.missingEvents += numbers.length;
    this.example(`${key}: no ${rule} event for ${numbers.slice(0, 5).join(", ")}`);
  }

  example(text: string): void {
    if (this.#examples.length < examplesMax) this.#examples.push(text);
  }

  verdict(): Verdict {
    const streams = [...this.#streams.values()];
    const sums = Object.fromEntries(
      (Object.keys(this.totals) as Array<keyof Totals>).map((name) => {
        const inStreams = streams.reduce(
          (sum, stream) => sum + ((stream as Partial<Totals>)[name] ?? 0),
          0,
        );
        return [name, this.totals[name] + inStreams];
      }),
    ) as unknown as Totals;
    return { ok: isOk(sums), totals: sums, streams, examples: this.#examples };
  }
}

async function checkOutputs(
  out: string,
  expected: ExpectedEvents,
  entries: JournalStream[],
  books: Books,
): Promise<void> {
  const { totals } = books;
  const badLine = (where: string) => {
    totals.badOutputLines++;
    books.example(`${where}: it isn't JSON`);
  };
  const bootWallUs = new Map(entries.map((entry) => [streamKey(entry), entry.bootWallUs]));
  const seconds = new EventSeconds();
  await forEachLine<EventLine>(join(out, "events"), (event, where) => {
    if (!expected.isRule(event.rule)) return;
    totals.events++;
    const wallUs = parseTime(event.time);
    seconds.add(event.rule, wallUs);
    const bootUs = bootWallUs.get(streamKey(event));
    const offUs = bootUs === undefined ? 0 : Math.abs(wallUs - bootUs - event.usec);
    if (offUs > event.time_error_us) totals.mistimedEvents++;
    const found = expected.check(event);
    if (found === "right") return;
    books.stream(streamKey(event), event)[`${found}Events`]++;
    books.example(`${where}: ${found}: ${event.rule} of ${streamKey(event)} ${event.seq}`);
  }, badLine);
  for (const event of expected.tooMany()) {
    books.stream(streamKey(event), event).duplicateEvents++;
    const { rule, seq } = event;
    books.example(`${streamKey(event)}: the ${rule} event of ${seq} is another record's as well`);
  }
  for (const { stream, rule, numbers } of expected.missing()) {
    books.missingEvents(stream, rule, numbers);
  }
  const aggregates = new CheckedAggregates();
  await forEachLine<AggregateLine>(join(out, "aggregates"), (line, where) => {
    if (!expected.isRule(line.rule) || aggregates.add(line)) return;
    totals.duplicateAggregates++;
    books.example(`${where}: ${line.rule} in ${line.window}, rev ${line.rev} for the second time`);
  }, badLine);
  totals.aggregates = aggregates.size;
  for (const { rule, window, events, counted } of aggregates.mismatches(seconds)) {
    totals.aggregateMismatch += Math.abs(events - counted);
    books.example(`${rule} in ${window}: ${events} events, ${counted} in the aggregates`);
  }
}

/** Every line of a folder's .jsonl files, in the files' order. */
async function forEachLine<T>(
  folder: string,
  visit: (value: T, where: string) => void,
  bad: (where: string) => void,
): Promise<void> {
  const files = existsSync(folder) ? readdirSync(folder) : [];
  for (const file of files.filter((name) => name.endsWith(".jsonl")).sort()) {
    let number = 0;
    const input = createReadStream(join(folder, file));
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      const where = `${file}:${++number}`;
      const value = parseLine<T>(line);
      if (value) visit(value, where);
      else bad(where);
    }
  }
}

function parseLine<T>(line: string): T | undefined {
  try {
    return JSON.parse(line) as T;
  } catch {
    return undefined;
  }
}

/** `2026-11-22T20:21:34.123456Z` to Unix microseconds. */
function parseTime(iso: string): number {
  return Date.parse(`${iso.slice(0, 19)}Z`) * 1000 + Number(iso.slice(20, 26));
}

function setOf(intervals: Array<[number, number]>): IntervalSet {
  const set = new IntervalSet();
  for (const [first, last] of intervals) set.add(first, last);
  return set;
}

function brief(set: IntervalSet): string {
  const text = set.encode();
  return text.length <= 80 ? text : `${text.slice(0, text.lastIndexOf(",", 80))},...`;
}
