/**
 * The events that the storage should have made, rule by rule and record by record, and how the lines
 * of DIR/events compare with them.
 */
import { createHash } from "node:crypto";
import { extract, type Rule } from "../../grinder/rule.ts";
import { unescapeText } from "../../shared/record.ts";
import { type Distinct, rawKey, streamKey } from "./streams.ts";

/** A line of DIR/events (grinder/event.ts). */
export interface EventLine {
  rule: string;
  time: string;
  time_error_us: number;
  device: string;
  boot: string;
  source: string;
  stream: string;
  seq: number;
  usec: number;
  prio: number;
  labels: Record<string, string>;
  value?: number;
  text: string;
  segment: string;
  offset: number;
  line: number;
}

export type EventVerdict = "right" | "duplicate" | "unexpected" | "wrong";

/** The expected events of one rule in one stream (or raw block). */
interface Bucket {
  rule: string;
  stream: string;
  /** What each must say, by its number. */
  digests: Map<number, number>;
  found: Set<number>;
  /** Those that may come in another one's place (last_words.ts). */
  instead: Map<number, { digest: number; lines: string[] }>;
}

/** An event that came in another one's place. */
interface Instead {
  event: EventLine;
  lines: string[];
}

export interface MissingEvents {
  rule: string;
  stream: string;
  numbers: number[];
}

export class ExpectedEvents {
  readonly #buckets = new Map<string, Bucket>();
  /** Expected events that another one may stand for, by rule and line. */
  readonly #doubtful = new Map<string, Array<{ bucket: Bucket; number: number }>>();
  readonly #instead: Instead[] = [];
  readonly #names: Set<string>;

  constructor(private readonly rules: readonly Rule[]) {
    this.#names = new Set(rules.map((rule) => rule.name));
  }

  /** Built-in events aren't made by rules of the file. */
  isRule(name: string): boolean {
    return this.#names.has(name);
  }

  /** Runs every rule on a record, which must not have come before. */
  expect(found: Distinct, lines: string[] = []): void {
    this.#match(found, (bucket, digest) => {
      bucket.digests.set(found.number, digest);
      for (const line of lines) {
        const key = `${bucket.rule} ${line}`;
        const known = this.#doubtful.get(key);
        if (known) known.push({ bucket, number: found.number });
        else this.#doubtful.set(key, [{ bucket, number: found.number }]);
      }
    });
  }

  /** Of a record that makes events only in the place of another one with one of its lines. */
  allow(found: Distinct, lines: string[]): void {
    this.#match(found, (bucket, digest) => bucket.instead.set(found.number, { digest, lines }));
  }

  /** Compares a line with what was expected. `wrong`: the right record and rule, but it says else. */
  check(event: EventLine): EventVerdict {
    const raw = event.source === "raw";
    const key = raw ? rawKey(event.segment, event.offset) : streamKey(event);
    const number = raw ? event.line : event.seq;
    const bucket = this.#buckets.get(`${event.rule} ${key}`);
    const instead = bucket?.instead.get(number);
    const expected = instead?.digest ?? bucket?.digests.get(number);
    if (!bucket || expected === undefined) return "unexpected";
    if (bucket.found.has(number)) return "duplicate";
    bucket.found.add(number);
    if (instead) this.#instead.push({ event, lines: instead.lines });
    return digest(event) === expected ? "right" : "wrong";
  }

  /**
   * Once all lines are checked: gives those that came in another one's place where no other is
   * missing, and takes what the rest stand for as found.
   */
  *tooMany(): Generator<EventLine> {
    for (const { event, lines } of this.#instead) {
      const missing = lines.flatMap((line) => this.#doubtful.get(`${event.rule} ${line}`) ?? [])
        .find(({ bucket, number }) => !bucket.found.has(number));
      if (missing) missing.bucket.found.add(missing.number);
      else yield event;
    }
  }

  /** What was expected and hasn't been checked. */
  *missing(): Generator<MissingEvents> {
    for (const { rule, stream, digests, found } of this.#buckets.values()) {
      const numbers = [...digests.keys()].filter((number) => !found.has(number));
      if (numbers.length > 0) yield { rule, stream, numbers };
    }
  }

  #match({ header, record, key }: Distinct, visit: (bucket: Bucket, digest: number) => void): void {
    const text = unescapeText(record.text);
    for (const rule of this.rules) {
      const extracted = extract(rule, text);
      if (!extracted) continue;
      const bucket = this.#bucket(`${rule.name} ${key}`, rule.name, streamKey(header));
      visit(bucket, digest({ ...record, boot: header.boot, text, ...extracted }));
    }
  }

  #bucket(key: string, rule: string, stream: string): Bucket {
    const known = this.#buckets.get(key);
    if (known) return known;
    const fresh: Bucket = {
      rule,
      stream,
      digests: new Map(),
      found: new Set(),
      instead: new Map(),
    };
    this.#buckets.set(key, fresh);
    return fresh;
  }
}

type Content = Pick<EventLine, "boot" | "usec" | "prio" | "labels" | "text" | "value">;

/** 48 bits, so that millions of events fit the memory. */
function digest({ boot, usec, prio, labels, value = undefined, text }: Content): number {
  const content = JSON.stringify([boot, usec, prio, labels, value, text]);
  return createHash("md5").update(content).digest().readUIntBE(0, 6);
}
