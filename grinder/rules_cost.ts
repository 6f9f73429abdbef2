/** Rules and log text to what each rule costs there, as a table: the dearest first. */
import type { RulePlan } from "./load_rules.ts";
import type { Rule } from "./rule.ts";
import { FrameEvents } from "./rules_events.ts";

/** What one rule cost on `textBytes` of text. */
export interface MeasuredCost {
  rule: string;
  /** Time in the rule itself: its regex, parser or function. */
  ms: number;
  /** Places where one of its literals stands. */
  candidates: number;
  /** Records on which it was run. */
  runs: number;
  matches: number;
  /** What is looked for in its place; undefined: it is run on every record. */
  literals: readonly string[] | undefined;
  nsPerMiB: number;
}

export interface MeasuredCosts {
  rules: MeasuredCost[];
  textBytes: number;
  plans: readonly RulePlan[];
  /** For all rules together, looking for literals included. */
  ms: number;
}

/** The first passes are the runtime's, which is still compiling; and of pauses one pass is free. */
const passes = 3;

/** Runs the rules over all texts, some times; of each time the least counts. */
export function measureCosts(
  rules: readonly Rule[],
  texts: readonly string[],
  nowMs: () => number = () => performance.now(),
): MeasuredCosts {
  const textBytes = texts.reduce((sum, { length }) => sum + length, 0);
  const measured = Array.from({ length: passes }, () => measureOnce(rules, texts, nowMs));
  const { costs, plans } = measured[0]!.matcher;
  const measuredRules = rules.map(({ name }, i): MeasuredCost => {
    const { candidates, runs, matches } = costs[i]!;
    const ms = Math.min(...measured.map(({ matcher }) => matcher.costs[i]!.ms));
    const nsPerMiB = ms * 1e6 / (textBytes / 2 ** 20);
    return { rule: name, ms, candidates, runs, matches, literals: plans[i]!.literals, nsPerMiB };
  });
  measuredRules.sort((a, b) => b.ms - a.ms);
  const ms = Math.min(...measured.map(({ ms }) => ms));
  return { rules: measuredRules, textBytes, plans, ms };
}

function measureOnce(rules: readonly Rule[], texts: readonly string[], nowMs: () => number) {
  const events = new FrameEvents(rules, texts.slice(0, 4).join(""), nowMs);
  const startMs = nowMs();
  for (const text of texts) events.in(text);
  return { matcher: events.matcher, ms: nowMs() - startMs };
}

const head = ["rule", "ns/MiB", "ms", "candidates", "runs", "matches", "looks for"];

/** The table as text. */
export function formatCosts({ rules, textBytes, ms }: MeasuredCosts): string {
  const rows = rules.map((cost) => [
    cost.rule,
    cost.nsPerMiB.toFixed(0),
    cost.ms.toFixed(2),
    ...[cost.candidates, cost.runs, cost.matches].map(String),
    cost.literals
      ? shorten(cost.literals.map((text) => JSON.stringify(text)).join(" "))
      : "EVERY RECORD",
  ]);
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]!.length)));
  const format = (row: string[]) =>
    row.map((cell, i) => i === 0 || i === 6 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))
      .join("  ").trimEnd();
  const inRules = rules.reduce((sum, cost) => sum + cost.ms, 0);
  const rate = textBytes / 1e3 / ms;
  return `${[head, ...rows].map(format).join("\n")}\n\n` +
    `all ${rules.length} rules on ${(textBytes / 2 ** 20).toFixed(1)} MiB: ${ms.toFixed(0)} ms, ` +
    `${rate.toFixed(0)} MB/s; ${inRules.toFixed(0)} ms of it in the rules themselves\n`;
}

function shorten(text: string): string {
  return text.length > 70 ? `${text.slice(0, 67)}...` : text;
}
