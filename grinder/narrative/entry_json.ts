/**
 * Entries in, lines of JSON out. Each has `kind`, `time` (ISO, UTC), `time_error_us`, `device`, `boot`; and
 *
 * | kind | more |
 * |------|------|
 * | record | source stream seq usec prio flag text more rules late; segment offset line, as in an event |
 * | gap | source stream first last count cause: what is missing, as the device says |
 * | hole | source stream first last count: what is missing, and nothing says why |
 * | boot | cause (clean, panic, power) and away_s, if known; again: true, if it was told of before |
 * | clock | step (step or suspend), seconds |
 */
import { unescapeText } from "../../shared/record.ts";
import { isoMicros } from "../event.ts";
import type { Entry } from "./entry.ts";

export function entryJson(entry: Entry): string {
  const { kind, device, boot, time: { wallUs, errorUs } } = entry;
  const told = { kind, time: isoMicros(wallUs), time_error_us: errorUs, device, boot };
  return `${JSON.stringify({ ...told, ...details(entry) })}\n`;
}

function details(entry: Entry): Record<string, unknown> {
  switch (entry.kind) {
    case "boot": {
      const { cause, awayUs, again } = entry;
      return {
        cause,
        away_s: awayUs === undefined ? undefined : awayUs / 1e6,
        again: again || undefined,
      };
    }
    case "clock":
      return { step: entry.step.kind, seconds: entry.step.seconds };
    case "gap":
      return { source: entry.source, stream: entry.stream, ...entry.gap };
    case "hole": {
      const { source, stream, first, last, count } = entry;
      return { source, stream, first, last, count };
    }
    case "record": {
      const { source, stream, record: { seq, usec, prio, flag, text, more }, rules, late, place } =
        entry;
      const lines = more.length > 0 ? { more: more.map(unescapeText) } : {};
      return {
        ...{ source, stream, seq, usec, prio, flag, text: unescapeText(text), ...lines, rules },
        ...(late ? { late } : {}),
        ...place,
      };
    }
  }
}
