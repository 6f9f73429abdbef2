/**
 * An event, as an operator names it, in; when it happened out. `RULE` is the newest event of that rule,
 * `RULE:N` the Nth newest, as far as the grinder has committed them; `SEGMENT:OFFSET:LINE` is the event of
 * that line (../event.ts).
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../shared/options.ts";
import { linesBackwards } from "./lines_backwards.ts";

export interface EventTime {
  device: string;
  wallUs: number;
}

type Asked = { rule: string; nth: number } | { segment: string; offset: number; line: number };

/** Throws `UsageError`. */
export function parseAround(text: string): Asked {
  const line = /^([^\s/]+\/[^\s/]+\/\d{8,}):(\d{1,15}):(\d{1,15})$/.exec(text);
  if (line) return { segment: line[1]!, offset: Number(line[2]), line: Number(line[3]) };
  const rule = /^([A-Za-z_][A-Za-z0-9_]*)(?::([1-9]\d{0,5}))?$/.exec(text);
  if (rule) return { rule: rule[1]!, nth: Number(rule[2] ?? 1) };
  throw new UsageError(
    "Cannot use --around because it must be RULE, RULE:N or SEGMENT:OFFSET:LINE: " +
      `it is ${text}`,
  );
}

/** Of one of the devices, or of any if there are none. Throws `UsageError` if there is no such event. */
export async function findEvent(
  out: string,
  around: string,
  devices: readonly string[],
): Promise<EventTime> {
  const asked = parseAround(around);
  const rules = new Set<string>();
  let left = "rule" in asked ? asked.nth : 1;
  for (const path of newestFirst(join(out, "events"))) {
    for await (const text of linesBackwards(path)) {
      // Most lines are of other rules: they aren't worth to be parsed.
      const rule = /^\{"rule":"(\w+)"/.exec(text)?.[1];
      if (rule === undefined) continue;
      rules.add(rule);
      if ("rule" in asked && rule !== asked.rule) continue;
      const event = readEvent(text);
      if (!event || (devices.length > 0 && !devices.includes(event.device))) continue;
      if (!isAsked(event, asked) || --left > 0) continue;
      return { device: event.device, wallUs: Date.parse(event.time) * 1000 };
    }
  }
  throw new UsageError(notFound(out, around, devices, rules));
}

interface EventLine {
  rule: string;
  time: string;
  device: string;
  segment: string;
  offset: number;
  line: number;
}

function readEvent(text: string): EventLine | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isAsked(event: EventLine, asked: Asked): boolean {
  if ("rule" in asked) return event.rule === asked.rule;
  const { segment, offset, line } = asked;
  return event.segment === segment && event.offset === offset && event.line === line;
}

function newestFirst(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d{8}\.jsonl$/.test(name)).sort().reverse()
      .map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function notFound(
  out: string,
  around: string,
  devices: readonly string[],
  rules: ReadonlySet<string>,
): string {
  const of = devices.length > 0 ? ` of ${devices.slice(0, 5).join(", ")}` : "";
  const there = [...rules].sort().slice(0, 10).join(", ");
  return `Cannot find ${around} because ${join(out, "events")} must have such an event${of}: ` +
    (there === "" ? "it has none at all" : `it has, of any device, ${there}`);
}
