/** What was ground of the archive and what was ground of hot segments, held against each other. */
import { finalAggregates, textOf } from "../grind/outputs.ts";

/** Gives how many events there are. Throws if they aren't the same, but for where they stand. */
export function compareGround(a: string, b: string): number {
  const events = sortedEvents(a);
  expectSame("events", events, sortedEvents(b));
  expectSame("aggregates", sortedAggregates(a), sortedAggregates(b));
  return events.length;
}

function sortedEvents(out: string): string[] {
  // Segment, offset and line are the last keys.
  const lines = textOf(out, "events").split("\n").slice(0, -1);
  return lines.map((line) => line.slice(0, line.lastIndexOf(',"segment":'))).sort();
}

/** Sums of the same numbers in another order may differ in their last digit. */
function sortedAggregates(out: string): string[] {
  return [...finalAggregates(out)].map(([key, text]) => {
    const aggregate = JSON.parse(text) as { sum?: number };
    if (aggregate.sum !== undefined) aggregate.sum = Number(aggregate.sum.toPrecision(12));
    return `${key} ${JSON.stringify(aggregate)}`;
  }).sort();
}

function expectSame(what: string, a: readonly string[], b: readonly string[]): void {
  const other = a.findIndex((line, i) => line !== b[i]);
  if (a.length === b.length && other < 0) return;
  throw new Error(
    `Cannot compare because ${what} must be the same: there are ${a.length} and ${b.length}, ` +
      `and one is ${a[other]} or ${b[other]}`,
  );
}
