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
import { asBuffer, lineEnd, lineStart, recordTextStart } from "./stored_bytes.ts";

export { paddingBytes } from "./sieve.ts";
export type { Plan, RuleCost };

export interface FrameMatch {
  /** Index of the rule. */
  rule: number;
  /** Where the record's line begins in the frame's text, in bytes. */
  start: number;
  labels: Record<string, string>;
  value?: number;
}

/** Is told where a mark stands: the index of the mark, and the place of its first byte. */
export type HearMark = (mark: number, at: number) => void;

/** What is matched now, and who is told. */
interface Frame {
  bytes: Uint8Array;
  length: number;
  buffer: Buffer;
  found: (match: FrameMatch) => void;
  hear: HearMark;
}

/** A line that may be a record's, and the rules that are to be tried on it. */
interface Line {
  start: number;
  end: number;
  /** Where what rules see begins; -1 where there is nothing of that kind. */
  textStart: number;
  rules: number[];
}

export class FrameMatcher {
  readonly plans: readonly Plan[];
  /** What each rule has cost up to now. */
  readonly costs: readonly RuleCost[];
  readonly #sieve: Sieve;
  readonly #blocks = new Blocks();
  readonly #marks: MarkList;
  /** By literal: the rules that require it, and the marks that it is. */
  readonly #rulesOf: readonly number[][];
  readonly #marksOf: readonly number[][];
  /** Rules that look at every record. */
  readonly #everywhere: readonly number[];

  /**
   * `sample` is stored log text, on which the plan is measured; it may be empty. `marks` are texts that
   * the caller wants to hear of wherever they stand: printable ASCII, at least 5 bytes; or any that
   * begin with "\n#", such as "\n#1 ", which is before every block's header but the first.
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
    this.#marks = new MarkList(marks);
    const ofRules = this.plans.flatMap((plan) => plan.literals ?? []);
    const literals = [...new Set([...ofRules, ...this.#marks.literals])];
    this.#rulesOf = literals.map((literal) =>
      this.plans.filter((plan) => plan.literals?.includes(literal)).map(({ rule }) => rule)
    );
    this.#marksOf = literals.map((literal) => this.#marks.of(literal));
    this.#everywhere = this.plans.filter((plan) => !plan.literals).map(({ rule }) => rule);
    this.#sieve = new Sieve(literals.map((literal) => Buffer.from(literal, "latin1")), rates);
  }

  /**
   * `bytes[0, length)` is a frame's text; `paddingBytes` behind it are overwritten, and it begins at a
   * multiple of 4 in its buffer. Calls `found` once for each record and rule that matches, in the
   * order of (start, rule); and `hear` for each place of a mark, in the order of (place, mark), before
   * what is found in lines that begin behind that place.
   */
  match(
    bytes: Uint8Array,
    length: number,
    found: (match: FrameMatch) => void,
    hear: HearMark = () => {},
  ): void {
    const sieve = this.#sieve;
    sieve.scan(bytes, length);
    this.#blocks.begin(bytes, length, sieve.hashLineAt, sieve.hashLines);
    this.#marks.collect(bytes, sieve, this.#marksOf);
    const frame: Frame = { bytes, length, buffer: asBuffer(bytes), found, hear };
    if (this.#everywhere.length === 0) this.#tryHits(frame);
    else this.#tryAll(frame);
    this.#marks.hearUpTo(length, hear);
  }

  /** The lines in which the sieve has found something. */
  #tryHits(frame: Frame): void {
    const { hits, hitAt } = this.#sieve;
    let line: Line | undefined;
    for (let hit = 0; hit < hits; hit++) {
      const at = hitAt[hit]!;
      if (this.#rulesOf[this.#sieve.hitLiteral[hit]!]!.length === 0) continue;
      if (!line || at >= line.end) {
        if (line) this.#try(frame, line);
        line = this.#lineAt(frame, lineStart(frame.bytes, at));
      }
      this.#addRules(line, hit);
    }
    if (line) this.#try(frame, line);
  }

  /** All lines, with what the sieve has found in them. */
  #tryAll(frame: Frame): void {
    const { hits, hitAt } = this.#sieve;
    let hit = 0;
    do {
      for (let at = this.#blocks.textStart; at < this.#blocks.end;) {
        const line = this.#lineAt(frame, at);
        line.rules.push(...this.#everywhere);
        while (hit < hits && hitAt[hit]! < at) hit++;
        for (; hit < hits && hitAt[hit]! < line.end; hit++) this.#addRules(line, hit);
        this.#try(frame, line);
        at = line.end + 1;
      }
    } while (this.#blocks.next());
  }

  #lineAt({ bytes, length }: Frame, start: number): Line {
    const blocks = this.#blocks;
    blocks.moveTo(start);
    const line = { start, end: lineEnd(bytes, start, length), textStart: -1, rules: [] };
    if (start < blocks.textStart || blocks.kind === "none") return line;
    if (blocks.kind === "raw") return { ...line, textStart: start };
    return { ...line, textStart: recordTextStart(bytes, start, line.end) };
  }

  #addRules(line: Line, hit: number): void {
    if (line.textStart < 0 || this.#sieve.hitAt[hit]! < line.textStart) return;
    for (const rule of this.#rulesOf[this.#sieve.hitLiteral[hit]!]!) {
      this.costs[rule]!.candidates++;
      if (!line.rules.includes(rule)) line.rules.push(rule);
    }
  }

  #try(frame: Frame, { start, end, textStart, rules }: Line): void {
    if (textStart < 0 || rules.length === 0) return;
    const stored = frame.buffer.toString("latin1", textStart, end);
    const text = unescapeText(this.#blocks.kind === "raw" ? rawText(stored) : stored);
    for (const rule of rules.sort((a, b) => a - b)) {
      const extracted = this.costs[rule]!.extract(this.rules[rule]!, text);
      if (extracted === null) continue;
      this.#marks.hearUpTo(start, frame.hear);
      frame.found({ rule, start, ...extracted });
    }
  }
}

/** A line as it came, to the text in it. */
function rawText(line: string): string {
  let text = "";
  forEachRawLine(`${line}\n`, (record) => text = record.text);
  return text;
}
