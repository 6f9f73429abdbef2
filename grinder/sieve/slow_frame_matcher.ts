/**
 * A frame's text to what every rule says of every record in it, one after the other: the obvious twin
 * of FrameMatcher, which must say the same.
 */
import { readBlocks } from "../../shared/block.ts";
import { forEachRecord, isMeta, type LogRecord, unescapeText } from "../../shared/record.ts";
import { SlowMatcher } from "../match.ts";
import { forEachRawLine } from "../raw_lines.ts";
import type { Rule } from "../rule.ts";
import type { FrameMatch } from "./frame_matcher.ts";

/** As `FrameMatcher.match`, of a frame's text as a byte string. */
export function matchSlowly(
  rules: readonly Rule[],
  text: string,
  found: (match: FrameMatch) => void,
): void {
  const matcher = new SlowMatcher(rules);
  for (const block of readBlocks(text)) {
    const visit = (record: LogRecord, offset: number) => {
      if (isMeta(record.flag)) return;
      const start = block.offset + offset;
      for (const { rule, labels, value } of matcher.match(record)) {
        const seen = unescapeText(record.text);
        found({ rule: rules.indexOf(rule), start, text: seen, labels, value });
      }
    };
    if (block.header.source === "raw") forEachRawLine(block.text, visit);
    else forEachRecord(block.text, visit, () => {});
  }
}

/** Where each mark stands, in the order of (place, mark). */
export function marksSlowly(text: string, marks: readonly string[]): [mark: number, at: number][] {
  const all = marks.flatMap((literal, mark) => {
    const found: [number, number][] = [];
    for (let at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, at + 1)) {
      found.push([mark, at]);
    }
    return found;
  });
  return all.sort(([a, atA], [b, atB]) => atA - atB || a - b);
}
