/** Log lines without end, as the texts of records: a simulated fleet's, or those of a file. */
import { readFileSync } from "node:fs";
import type { Matcher } from "../../grinder/match.ts";
import { escapeText, type LogRecord, parseRecord } from "../../shared/record.ts";
import type { LogLine } from "../../tests/fleet/text.ts";
import { LogText } from "../../tests/fleet/text.ts";

/** What is written of a record behind its prefix, with its priority. */
export type Line = Pick<LogRecord, "prio" | "text" | "more">;

/** As many lines as a frame of 1 MiB has, many times over: none comes again in the same one. */
const linesMax = 200_000;

/** Lines of which that share matches a rule, drawn anew each time. */
export function fleetLines(
  random: () => number,
  matcher: Matcher,
  matchingShare: number,
): () => Line {
  const texts = Array.from({ length: 20 }, (_, i) => new LogText(random, `router${i}`));
  const all = Array.from({ length: linesMax }, (_, i) => toLine(texts[i % texts.length]!.next()));
  const { yes = [], no = [] } = Object.groupBy(
    all,
    (line) => matches(matcher, line) ? "yes" : "no",
  );
  let [nextYes, nextNo] = [0, 0];
  return () => random() < matchingShare ? yes[nextYes++ % yes.length]! : no[nextNo++ % no.length]!;
}

/** A file's lines, over and over: records as they are stored, or the texts of some. */
export function fileLines(path: string): () => Line {
  const all = readFileSync(path, "utf8").split("\n").filter((line) => line !== "").map((line) => {
    const { prio, text, flag } = parseRecord(line) ??
      { prio: 14, text: escapeText(line), flag: "-" };
    return { prio, text: flag === "-" ? text : escapeText(line), more: [] };
  });
  let next = 0;
  return () => all[next++ % all.length]!;
}

function toLine({ prio, text, more }: LogLine): Line {
  return { prio, text: escapeText(text), more };
}

function matches(matcher: Matcher, line: Line): boolean {
  return matcher.match({ ...line, seq: 0, usec: 0, flag: "-", fields: "" }).length > 0;
}
