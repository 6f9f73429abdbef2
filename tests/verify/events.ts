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
}

export interface MissingEvents {
  rule: string;
  stream: string;
  numbers: number[];
}

export class ExpectedEvents {
  readonly #buckets = new Map<string, Bucket>();
  readonly #names: Set<string>;

  constructor(private readonly rules: readonly Rule[]) {
    this.#names = new Set(rules.map((rule) => rule.name));
  }

  /** Built-in events aren't made by rules of the file. */
  isRule(name: string): boolean {
    return this.#names.has(name);
  }

  /** Runs every rule on a record, which must not have come before. */
  expect({ header, record, key, number }: Distinct): void {
    const text = unescapeText(record.text);
    for (const rule of this.rules) {
      const extracted = extract(rule, text);
      if (!extracted) continue;
      const { boot } = header;
      const content = digest({ ...record, boot, text, ...extracted });
      this.#bucket(`${rule.name} ${key}`, rule.name, streamKey(header)).digests.set(
        number,
        content,
      );
    }
  }

  /** Compares a line with what was expected. `wrong`: the right record and rule, but it says else. */
  check(event: EventLine): EventVerdict {
    const raw = event.source === "raw";
    const key = raw ? rawKey(event.segment, event.offset) : streamKey(event);
    const number = raw ? event.line : event.seq;
    const bucket = this.#buckets.get(`${event.rule} ${key}`);
    const expected = bucket?.digests.get(number);
    if (!bucket || expected === undefined) return "unexpected";
    if (bucket.found.has(number)) return "duplicate";
    bucket.found.add(number);
    return digest(event) === expected ? "right" : "wrong";
  }

  /** What was expected and hasn't been checked. */
  *missing(): Generator<MissingEvents> {
    for (const { rule, stream, digests, found } of this.#buckets.values()) {
      if (found.size === digests.size) continue;
      const numbers = [...digests.keys()].filter((number) => !found.has(number));
      yield { rule, stream, numbers };
    }
  }

  #bucket(key: string, rule: string, stream: string): Bucket {
    const known = this.#buckets.get(key);
    if (known) return known;
    const fresh = { rule, stream, digests: new Map<number, number>(), found: new Set<number>() };
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
