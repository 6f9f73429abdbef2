/**
 * A column of texts to what rules say of each: the sieve goes over all of their bytes as they stand, one
 * text behind the other, and only the texts in which a literal stands that some rule requires are given
 * to those rules. Equal texts that the column has once are looked at once.
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import { unescapeText } from "../../shared/record.ts";
import type { Texts } from "../archive/parquet/column_in.ts";
import { extract, type Extracted, type Rule } from "../rule.ts";
import { GramRates } from "../sieve/grams.ts";
import { type Plan, planRules } from "../sieve/plan.ts";
import { paddingBytes, Sieve } from "../sieve/sieve.ts";

/** What a rule says of a text. */
export interface TextMatch extends Extracted {
  /** Index of the rule. */
  rule: number;
  /** Unescaped. */
  text: string;
}

const nothing: readonly TextMatch[] = [];

export class TextMatcher {
  readonly #sieve: Sieve;
  /** By literal: the rules that require it. */
  readonly #rulesOf: readonly number[][];
  readonly #lengths: readonly number[];
  /** Rules that look at every text. */
  readonly #everywhere: readonly number[];
  #room = new Uint8Array(0);
  /** By text: 0 if there are no matches; else 1 + where they are. */
  matchesAt = new Int32Array(0);
  #matches: TextMatch[][] = [];

  /** `sample` is log text, on which it is measured what to look for. */
  constructor(private readonly rules: readonly Rule[], sample: Uint8Array) {
    const part = sample.subarray(0, limits.sampleBytesMax);
    const rates = new GramRates(part);
    const plans: Plan[] = planRules(rules, part, rates);
    const literals = [...new Set(plans.flatMap((plan) => plan.literals ?? []))];
    this.#rulesOf = literals.map((literal) =>
      plans.filter((plan) => plan.literals?.includes(literal)).map(({ rule }) => rule)
    );
    this.#lengths = literals.map(({ length }) => length);
    this.#everywhere = plans.filter((plan) => !plan.literals).map(({ rule }) => rule);
    this.#sieve = new Sieve(literals.map((literal) => Buffer.from(literal, "latin1")), rates);
  }

  /** Looks at all texts; what was found holds until the next call. */
  match(texts: Texts): void {
    const { starts } = texts;
    if (this.matchesAt.length < starts.length) this.matchesAt = new Int32Array(2 * starts.length);
    this.matchesAt.fill(0, 0, starts.length);
    this.#matches = [];
    if (this.#everywhere.length === 0) this.#tryHits(texts);
    else this.#tryAll(texts);
  }

  /** Of a text, by its number; in the order of rules. */
  of(text: number): readonly TextMatch[] {
    const at = this.matchesAt[text]!;
    return at === 0 ? nothing : this.#matches[at - 1]!;
  }

  #tryHits(texts: Texts): void {
    this.#forEachHit(texts, (text, rules) => {
      if (this.matchesAt[text] === 0) this.#try(texts, text, rules);
    });
  }

  #tryAll(texts: Texts): void {
    const more = new Map<number, number[]>();
    this.#forEachHit(texts, (text, rules) => void more.set(text, rules));
    for (let text = 0; text < texts.starts.length; text++) {
      this.#try(texts, text, [...this.#everywhere, ...more.get(text) ?? []]);
    }
  }

  /** Calls `visit` for each text in which literals stand, with the rules that require one of them. */
  #forEachHit(texts: Texts, visit: (text: number, rules: number[]) => void): void {
    const { starts, ends } = texts;
    this.#scan(texts);
    const { hits, hitAt, hitLiteral } = this.#sieve;
    let rules: number[] = [];
    let present = -1;
    let text = 0;
    for (let hit = 0; hit < hits; hit++) {
      const at = hitAt[hit]!;
      const end = at + this.#lengths[hitLiteral[hit]!]!;
      while (text > 0 && starts[text]! > at) text--;
      while (text + 1 < starts.length && starts[text + 1]! <= at) text++;
      // Of two texts, or of what is between them. Those that are of one come in the order of texts.
      if (at < starts[text]! || end > ends[text]!) continue;
      if (text !== present) {
        if (present >= 0) visit(present, rules);
        [present, rules] = [text, []];
      }
      for (const rule of this.#rulesOf[hitLiteral[hit]!]!) {
        if (!rules.includes(rule)) rules.push(rule);
      }
    }
    if (present >= 0) visit(present, rules);
  }

  #scan({ bytes, spareBytes }: Texts): void {
    const { buffer, byteOffset, length } = bytes;
    if (spareBytes >= paddingBytes && byteOffset % 4 === 0) {
      this.#sieve.scan(new Uint8Array(buffer, byteOffset, length + paddingBytes), length);
      return;
    }
    if (this.#room.length < length + paddingBytes) {
      this.#room = new Uint8Array(length + (length >> 3) + paddingBytes);
    }
    this.#room.set(bytes);
    this.#sieve.scan(this.#room, length);
  }

  #try({ bytes, starts, ends }: Texts, text: number, rules: number[]): void {
    const start = starts[text]!;
    const stored = Buffer.from(bytes.buffer, bytes.byteOffset + start, ends[text]! - start);
    const seen = unescapeText(stored.toString("latin1"));
    const found: TextMatch[] = [];
    for (const rule of rules.sort((a, b) => a - b)) {
      const extracted = extract(this.rules[rule]!, seen);
      if (extracted !== null) found.push({ rule, text: seen, ...extracted });
    }
    if (found.length > 0) this.matchesAt[text] = this.#matches.push(found);
  }
}
