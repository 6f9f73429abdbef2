/**
 * A frame's text to its digest with every record read and every regex tried: the obvious twin of
 * Digester, which may say `plain` where this says `exact`, but nothing that comes to another end.
 */
import { type BlockHeader, readBlocks } from "../../shared/block.ts";
import { forEachRecord, isMeta, type LogRecord } from "../../shared/record.ts";
import { recordPart } from "../event.ts";
import type { Match, Matcher } from "../match.ts";
import { forEachRawLine } from "../raw_lines.ts";
import { mayRecover } from "../recovered.ts";
import type { BlockDigest, Find, FrameDigest } from "./digest.ts";

export function slowDigest(text: string, matcher: Matcher): FrameDigest {
  let badBlocks = 0;
  let hasLastWords = false;
  const blocks: BlockDigest[] = [];
  for (const { header, text: records, offset } of readBlocks(text, () => badBlocks++)) {
    const finds: Find[] = [];
    if (mayRecover(header)) hasLastWords = true;
    let lines = 0;
    const visit = (record: LogRecord, at: number) => {
      lines++;
      if (isMeta(record.flag)) return;
      for (const match of matcher.match(record)) finds.push(findOf(match, record, offset + at));
    };
    const isRaw = header.source === "raw";
    if (isRaw) forEachRawLine(records, visit);
    else forEachRecord(records, visit, () => {});
    blocks.push({
      kind: isRaw ? "raw" : "exact",
      names: namesOf(header),
      namesHash: 0,
      hasNames: () => false,
      recvUs: header.recvUs,
      first: header.first,
      last: header.last,
      count: isRaw ? lines : header.count,
      offset,
      firstUsec: 0,
      lastUsec: 0,
      finds,
      syncs: [],
      text: isRaw ? undefined : records,
    });
  }
  return { blocks, badBlocks, hasLastWords };
}

function findOf({ rule, ...extracted }: Match, record: LogRecord, line: number): Find {
  return {
    rule,
    line,
    usec: record.usec,
    value: extracted.value,
    labels: JSON.stringify(extracted.labels),
    record: recordPart(record, extracted),
  };
}

function namesOf({ device, boot, source, stream }: BlockHeader): string {
  return `${device} ${boot} ${source} ${stream}`;
}
