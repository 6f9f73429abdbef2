/** What a grinder has written and counted, to be compared with what another one has. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Database } from "bun:sqlite";

/** All of a kind of output, without the names of its files: those are of the day of the run. */
export function textOf(out: string, kind: "events" | "aggregates"): string {
  const folder = join(out, kind);
  return readdirSync(folder).sort().map((file) => readFileSync(join(folder, file), "utf8")).join(
    "",
  );
}

/** The totals in its state. */
export function countersOf(out: string): Record<string, number> {
  using db = new Database(join(out, "grinder.sqlite"), { readonly: true });
  const rows = db.query("SELECT name, value FROM counters ORDER BY name").all();
  return Object.fromEntries((rows as Array<{ name: string; value: number }>).map((row) => [
    row.name,
    row.value,
  ]));
}

/** Events by what they are, each with the time that it was given; twice the same throws. */
export function eventTimes(out: string): Map<string, string> {
  const times = new Map<string, string>();
  for (const line of linesOf(textOf(out, "events"))) {
    const { time, time_error_us: _, ...event } = JSON.parse(line) as Record<string, string>;
    const key = JSON.stringify(event);
    if (times.has(key)) throw new Error(`an event is there twice: ${line}`);
    times.set(key, time!);
  }
  return times;
}

/** What counts of aggregates: of each window, rule and labels the highest rev; one rev twice throws. */
export function finalAggregates(out: string): Map<string, string> {
  const final = new Map<string, { rev: number; line: string }>();
  for (const line of linesOf(textOf(out, "aggregates"))) {
    const { window, rule, labels, rev, ...rest } = JSON.parse(line) as Record<string, unknown>;
    const key = JSON.stringify([window, rule, labels]);
    const before = final.get(key);
    if (before?.rev === rev) throw new Error(`a line of an aggregate is there twice: ${line}`);
    if (before && before.rev > Number(rev)) continue;
    final.set(key, { rev: Number(rev), line: JSON.stringify(rest) });
  }
  return new Map([...final].map(([key, { line }]) => [key, line]));
}

/** How many keys are in one of them only, or have another value in the other. */
export function differences(a: Map<string, string>, b: Map<string, string>) {
  const missing = [...b.keys()].filter((key) => !a.has(key)).length;
  const more = [...a.keys()].filter((key) => !b.has(key)).length;
  const changed = [...a].filter(([key, value]) => b.has(key) && b.get(key) !== value).length;
  return { missing, more, changed };
}

function linesOf(text: string): string[] {
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line is half there");
  return text.split("\n").slice(0, -1);
}
