/**
 * Two sets of rules on the same log text to what changes from the one to the other: events that are
 * lost, gained, or say something else (the same record and rule, other labels or another value).
 */
import { unescapeText } from "../shared/record.ts";
import type { Rule } from "./rule.ts";
import { Once } from "./reading/once.ts";
import type { TimeRange } from "./history/time_range.ts";
import { always, type Found, FrameEvents, newRecords } from "./rules_events.ts";
import { oneLine } from "./rules_trial.ts";

const examplesMax = 3;
const kinds = ["lost", "gained", "changed"] as const;
type Kind = typeof kinds[number];

/** What changes for one rule. */
interface Changes {
  counts: Record<Kind, number>;
  examples: Record<Kind, string[]>;
}

export class RulesDiff {
  readonly #old: FrameEvents;
  readonly #new: FrameEvents;
  readonly #changes = new Map<string, Changes>();
  readonly #once = new Once();
  /** Events that are the same under both. */
  same = 0;
  textBytes = 0;

  constructor(old: readonly Rule[], now: readonly Rule[], sample: string) {
    this.#old = new FrameEvents(old, sample);
    this.#new = new FrameEvents(now, sample);
  }

  /** A frame's text, of which counts what was received in the range. Each record is compared once. */
  take(text: string, range: TimeRange = always): void {
    this.textBytes += text.length;
    const isNew = newRecords(text, range, this.#once);
    const before = byRecordAndRule(this.#old.in(text));
    const after = byRecordAndRule(this.#new.in(text));
    for (const [key, old] of before) {
      if (isNew(old)) this.#compare(old, after.get(key));
    }
    for (const [key, now] of after) {
      if (!before.has(key) && isNew(now)) this.#compare(undefined, now);
    }
  }

  get differs(): boolean {
    return this.#changes.size > 0;
  }

  /** A table of rules and counts, then examples of each. */
  report(): string {
    const all = [...this.#changes].sort(([, a], [, b]) => total(b) - total(a));
    const head = `${"".padEnd(32)}${kinds.map((kind) => kind.padStart(10)).join("")}\n`;
    const table = all.map(([rule, { counts }]) =>
      `${rule.padEnd(32)}${kinds.map((kind) => String(counts[kind]).padStart(10)).join("")}\n`
    ).join("");
    const examples = all.map(([rule, { examples }]) =>
      `\n${rule}\n${kinds.flatMap((kind) => examples[kind]).map((line) => `  ${line}\n`).join("")}`
    ).join("");
    return `${this.same} events are the same under both\n` +
      (all.length ? head + table + examples : "");
  }

  #compare(old: Found | undefined, now: Found | undefined): void {
    if (old && now && said(old) === said(now)) return void this.same++;
    const { rule: { name }, header: { device }, record } = (old ?? now)!;
    const changes = this.#changes.get(name) ?? {
      counts: { lost: 0, gained: 0, changed: 0 },
      examples: { lost: [], gained: [], changed: [] },
    };
    this.#changes.set(name, changes);
    const kind: Kind = !now ? "lost" : old ? "changed" : "gained";
    if (changes.counts[kind]++ >= examplesMax) return;
    const sign = { lost: "-", gained: "+", changed: "~" }[kind];
    const what = kind === "changed" ? `${said(old!)} -> ${said(now!)}` : said((old ?? now)!);
    changes.examples[kind].push(
      `${sign} ${device}: ${oneLine(unescapeText(record.text))}  ${what}`,
    );
  }
}

/** In a frame a record is known by its place: the matcher gives each once for a rule. */
function byRecordAndRule(all: Found[]): Map<string, Found> {
  return new Map(all.map((found) => [`${found.start} ${found.rule.name}`, found]));
}

function said({ labels, value }: Found): string {
  const names = Object.keys(labels).sort();
  const parts = names.map((name) => `${name}=${JSON.stringify(labels[name])}`);
  return [...parts, ...(value === undefined ? [] : [`value ${value}`])].join(" ");
}

function total({ counts }: Changes): number {
  return counts.lost + counts.gained + counts.changed;
}
