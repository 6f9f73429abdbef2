/** Rules tried on log text: what each of them matched, for people. */
import { limits } from "../shared/limits.ts";
import { unescapeText } from "../shared/record.ts";
import { type Rule, takeFailures } from "./rule.ts";
import { Once } from "./reading/once.ts";
import { always, type Found, FrameEvents, newRecords } from "./rules_events.ts";

const examplesMax = 3;
/** Of each label the most frequent values are shown. Picked from the air. */
const valuesShown = 5;

/** What one rule matched. */
interface Tried {
  rule: Rule;
  count: number;
  /** Different texts. */
  examples: string[];
  /** For each label its values and how often they were. */
  labels: Map<string, Map<string, number>>;
  /** Labels with more values than are told apart. */
  capped: Set<string>;
  values: { count: number; min: number; max: number; sum: number };
}

export class RulesTrial {
  readonly #events: FrameEvents;
  readonly #once = new Once();
  readonly #tried: Map<Rule, Tried>;
  textBytes = 0;

  constructor(readonly rules: readonly Rule[], sample: string) {
    this.#events = new FrameEvents(rules, sample);
    this.#tried = new Map(rules.map((rule) => [rule, untried(rule)]));
  }

  /** A frame's text. Each record is tried once. */
  take(text: string): void {
    this.textBytes += text.length;
    const isNew = newRecords(text, always, this.#once);
    for (const found of this.#events.in(text).filter(isNew)) {
      note(this.#tried.get(found.rule)!, found);
    }
  }

  /** What each rule matched, the most frequent first; then those that matched nothing, by name. */
  report(): string {
    const all = [...this.#tried.values()].sort((a, b) => b.count - a.count);
    const matched = all.filter(({ count }) => count > 0);
    const never = all.filter(({ count }) => count === 0).map(({ rule }) => rule.name);
    const parts = matched.map(describe);
    for (const { rule, count, first } of takeFailures(this.rules)) {
      parts.push(`rule ${rule}: its function failed on ${count} records, first by ${first}\n`);
    }
    if (never.length > 0) parts.push(`never matched, ${never.length}: ${never.join(", ")}\n`);
    return parts.join("\n");
  }
}

function untried(rule: Rule): Tried {
  const values = { count: 0, min: Infinity, max: -Infinity, sum: 0 };
  const labels = new Map(rule.labels.map((label) => [label, new Map<string, number>()]));
  return { rule, count: 0, examples: [], labels, capped: new Set(), values };
}

function note(tried: Tried, { labels, value, record }: Found): void {
  tried.count++;
  if (tried.examples.length < examplesMax) {
    const text = unescapeText(record.text);
    if (!tried.examples.includes(text)) tried.examples.push(text);
  }
  for (const [label, counts] of tried.labels) countValue(tried, label, counts, labels[label]!);
  if (value === undefined) return;
  const { values } = tried;
  values.count++;
  values.min = Math.min(values.min, value);
  values.max = Math.max(values.max, value);
  values.sum += value;
}

function countValue(
  { capped }: Tried,
  label: string,
  counts: Map<string, number>,
  text: string,
): void {
  const known = counts.get(text);
  if (known === undefined && counts.size >= limits.rulesLabelValuesMax) capped.add(label);
  else counts.set(text, (known ?? 0) + 1);
}

function describe(tried: Tried): string {
  const { rule, count, examples, labels, capped, values } = tried;
  const lines = [`${String(count).padStart(9)}  ${rule.name}`];
  for (const [label, counts] of labels) {
    const size = `${capped.has(label) ? "more than " : ""}${counts.size}`;
    lines.push(
      `label ${label}: ${size} ${counts.size === 1 ? "value" : "values"}: ${most(counts)}`,
    );
  }
  if (rule.value !== undefined || values.count > 0) lines.push(describeValues(tried));
  lines.push(...examples.map((text) => `| ${oneLine(text)}`));
  return `${lines.join("\n           ")}\n`;
}

function most(counts: Map<string, number>): string {
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const shown = sorted.slice(0, valuesShown).map(([text, n]) =>
    `${text === "" ? '""' : text} ${n}`
  );
  return shown.join(", ") + (sorted.length > valuesShown ? ", ..." : "");
}

function describeValues({ rule, count, values }: Tried): string {
  const name = `value ${rule.value ?? ""}`.trim();
  if (values.count === 0) return `${name}: never a number`;
  const average = Number((values.sum / values.count).toPrecision(4));
  const without = count > values.count ? `, ${count - values.count} events without` : "";
  return `${name}: ${values.min} to ${values.max}, ${average} on average${without}`;
}

/** A text as one line of a terminal. */
export function oneLine(text: string): string {
  const line = text.replaceAll(/\p{Cc}/gu, (c) => JSON.stringify(c).slice(1, -1));
  return line.length > 160 ? `${line.slice(0, 157)}...` : line;
}
