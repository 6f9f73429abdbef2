/**
 * A frame's text to what the rules say of the records in it: the sieve finds the places where a literal
 * stands that some rule requires, and only the records there are cut out and given to those rules'
 * regexes. It says what `matchSlowly` says, of any text.
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import { unescapeText } from "../../shared/record.ts";
import { forEachRawLine } from "../raw_lines.ts";
import type { Rule } from "../rule.ts";
import { Blocks } from "./blocks.ts";
import { GramRates } from "./grams.ts";
import { MarkList } from "./marks.ts";
import { type Plan, planRules } from "./plan.ts";
import { RuleCost } from "./rule_cost.ts";
import { Sieve } from "./sieve.ts";
import { asBuffer, recordTextStart } from "./stored_bytes.ts";
import { lineStart, newlineFrom, type Text, textOf } from "./words.ts";

export { paddingBytes } from "./sieve.ts";
export type { Plan, RuleCost };

export interface FrameMatch {
  /** Index of the rule. */
  rule: number;
  /** Where the record's line begins in the frame's text, in bytes. */
  start: number;
  /** What the rule saw. */
  text: string;
  labels: Record<string, string>;
  value: number | undefined;
}

/** What is matched now, and who is told. */
interface Frame {
  text: Text;
  length: number;
  buffer: Buffer;
  found: (match: FrameMatch) => void;
}

export class FrameMatcher {
  readonly plans: readonly Plan[];
  /** What each rule has cost up to now. */
  readonly costs: readonly RuleCost[];
  readonly #sieve: Sieve;
  readonly #blocks = new Blocks();
  /** The marks of the frame that was matched last. */
  readonly marks: MarkList;
  /** By literal: the rules that require it, and the marks that it is. */
  readonly #rulesOf: readonly number[][];
  readonly #marksOf: readonly number[][];
  /** Rules that look at every record. */
  readonly #everywhere: readonly number[];
  /**
   * The line that is looked at, which may be a record's: the same object for each. `textStart` is where
   * what rules see begins, -1 where there is nothing of that kind; `rules` are to be tried on it.
   */
  readonly #line = { start: 0, end: 0, textStart: -1, rules: [] as number[] };

  /**
   * `sample` is stored log text, on which the plan is measured; it may be empty. `marks` are texts of
   * which the caller wants to know all places: printable ASCII, at least 5 bytes.
   */
  constructor(
    readonly rules: readonly Rule[],
    sample: Uint8Array,
    marks: readonly string[] = [],
    nowMs: () => number = () => performance.now(),
  ) {
    const part = sample.subarray(0, limits.sampleBytesMax);
    const rates = new GramRates(part);
    this.plans = planRules(rules, part, rates);
    this.costs = rules.map(() => new RuleCost(nowMs));
    this.marks = new MarkList(marks);
    const ofRules = this.plans.flatMap((plan) => plan.literals ?? []);
    const literals = [...new Set([...ofRules, ...marks])];
    this.#rulesOf = literals.map((literal) =>
      this.plans.filter((plan) => plan.literals?.includes(literal)).map(({ rule }) => rule)
    );
    this.#marksOf = literals.map((literal) => this.marks.of(literal));
    this.#everywhere = this.plans.filter((plan) => !plan.literals).map(({ rule }) => rule);
    this.#sieve = new Sieve(literals.map((literal) => Buffer.from(literal, "latin1")), rates);
  }

  /** Where lines begin whose first byte is a #, in the frame that was matched last; */
  get hashLineAt(): Int32Array {
    return this.#sieve.hashLineAt;
  }

  /** ... so many. */
  get hashLines(): number {
    return this.#sieve.hashLines;
  }

  /**
   * `bytes[0, length)` is a frame's text; `paddingBytes` behind it are overwritten, and it begins at a
   * multiple of 4 in its buffer. Calls `found` once for each record and rule that matches, in the
   * order of (start, rule).
   */
  match(bytes: Uint8Array, length: number, found: (match: FrameMatch) => void): void {
    const sieve = this.#sieve;
    sieve.scan(bytes, length);
    this.marks.collect(sieve, this.#marksOf);
    const frame: Frame = { text: textOf(bytes), length, buffer: asBuffer(bytes), found };
    this.#blocks.begin(frame.text, length, sieve.hashLineAt, sieve.hashLines);
    if (this.#everywhere.length === 0) this.#tryHits(frame);
    else this.#tryAll(frame);
  }

  /** The lines in which the sieve has found something. */
  #tryHits(frame: Frame): void {
    const { hits, hitAt, hitLiteral } = this.#sieve;
    const line = this.#line;
    line.rules.length = 0;
    line.end = -1;
    for (let hit = 0; hit < hits; hit++) {
      const at = hitAt[hit]!;
      if (this.#rulesOf[hitLiteral[hit]!]!.length === 0) continue;
      if (at >= line.end) {
        this.#try(frame);
        this.#goTo(frame, lineStart(frame.text, 0, at));
      }
      this.#addRules(hit);
    }
    this.#try(frame);
  }

  /** All lines, with what the sieve has found in them. */
  #tryAll(frame: Frame): void {
    const { hits, hitAt } = this.#sieve;
    const line = this.#line;
    let hit = 0;
    do {
      for (let at = this.#blocks.textStart; at < this.#blocks.end; at = line.end + 1) {
        this.#goTo(frame, at);
        line.rules.push(...this.#everywhere);
        while (hit < hits && hitAt[hit]! < at) hit++;
        for (; hit < hits && hitAt[hit]! < line.end; hit++) this.#addRules(hit);
        this.#try(frame);
      }
    } while (this.#blocks.next());
  }

  /** To the line that begins there. */
  #goTo({ text, length }: Frame, start: number): void {
    const blocks = this.#blocks;
    blocks.moveTo(start);
    const line = this.#line;
    line.start = start;
    line.end = newlineFrom(text, start, length);
    line.rules.length = 0;
    if (start < blocks.textStart || blocks.kind === "none") line.textStart = -1;
    else if (blocks.kind === "raw") line.textStart = start;
    else line.textStart = recordTextStart(text.bytes, start, line.end);
  }

  #addRules(hit: number): void {
    const { textStart, rules } = this.#line;
    if (textStart < 0 || this.#sieve.hitAt[hit]! < textStart) return;
    const more = this.#rulesOf[this.#sieve.hitLiteral[hit]!]!;
    for (let i = 0; i < more.length; i++) {
      const rule = more[i]!;
      this.costs[rule]!.candidates++;
      if (!rules.includes(rule)) rules.push(rule);
    }
  }

  #try({ buffer, found }: Frame): void {
    const { start, end, textStart, rules } = this.#line;
    if (textStart < 0 || rules.length === 0) return;
    const stored = buffer.toString("latin1", textStart, end);
    const text = unescapeText(this.#blocks.kind === "raw" ? rawText(stored) : stored);
    if (rules.length > 1) rules.sort((a, b) => a - b);
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      const extracted = this.costs[rule]!.extract(this.rules[rule]!, text);
      if (extracted === null) continue;
      const { labels, value } = extracted;
      found({ rule, start, text, labels, value });
    }
  }
}

/** A line as it came, to the text in it. */
function rawText(line: string): string {
  let text = "";
  forEachRawLine(`${line}\n`, (record) => text = record.text);
  return text;
}
