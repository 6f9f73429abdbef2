/**
 * Two grinders' outputs in, what only one of them has out. Times are left out: a grinder that reads as it
 * comes knows less of a boot's clock when it commits an event. So aggregates are summed up over windows.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AggregateLine } from "../verify/aggregates.ts";
import type { EventLine } from "../verify/events.ts";

/** In words. `isRule` says which rules' are compared: built-in ones depend on when something is read. */
export function outputDifference(
  disturbed: string,
  calm: string,
  isRule: (name: string) => boolean,
): string[] {
  const [a, b] = [disturbed, calm].map((folder) => outputsIn(folder, isRule));
  return [
    ...only(b!, a!).map((one) => `missing: ${one}`),
    ...only(a!, b!).map((one) => `too many: ${one}`),
  ];
}

/** How often each is there. */
type Counts = Map<string, number>;

function outputsIn(folder: string, isRule: (name: string) => boolean): Counts {
  const counts: Counts = new Map();
  for (const event of linesOf<EventLine>(join(folder, "events"))) {
    if (isRule(event.rule)) add(counts, eventName(event), 1);
  }
  for (const [name, count] of ruleCounts(linesOf<AggregateLine>(join(folder, "aggregates")))) {
    if (isRule(name.split(" ")[0]!)) counts.set(`aggregate ${name}: ${count}`, 1);
  }
  return counts;
}

function eventName({ rule, device, boot, source, stream, seq, usec, prio, ...rest }: EventLine) {
  const { labels, value, text } = rest;
  return JSON.stringify([
    rule,
    device,
    boot,
    source,
    stream,
    seq,
    usec,
    prio,
    sorted(labels),
    value,
    text,
  ]);
}

/** By rule and labels, of each window what the highest rev says. */
function ruleCounts(lines: Iterable<AggregateLine>): Counts {
  const finals = new Map<string, { name: string; rev: number; count: number }>();
  for (const { window, rule, labels, rev, count } of lines) {
    const name = `${rule} ${JSON.stringify(sorted(labels))}`;
    const key = `${window} ${name}`;
    if (rev >= (finals.get(key)?.rev ?? 0)) finals.set(key, { name, rev, count });
  }
  const counts: Counts = new Map();
  for (const { name, count } of finals.values()) add(counts, name, count);
  return counts;
}

function sorted(labels: Record<string, string>): Array<[string, string]> {
  return Object.entries(labels).sort(([a], [b]) => a < b ? -1 : 1);
}

function only(of: Counts, others: Counts): string[] {
  return [...of].filter(([name, count]) => count > (others.get(name) ?? 0)).map(([name]) => name);
}

function add(counts: Counts, name: string, more: number): void {
  counts.set(name, (counts.get(name) ?? 0) + more);
}

function* linesOf<T>(folder: string): Generator<T> {
  for (const file of readdirSync(folder).filter((name) => /^\d{8}\.jsonl$/.test(name))) {
    for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
      if (line !== "") yield JSON.parse(line) as T;
    }
  }
}
