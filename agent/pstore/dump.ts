/**
 * What a kernel left in pstore when it died, one file's bytes to its lines.
 *
 * | file | what it holds |
 * |------|---------------|
 * | dmesg-BACKEND-ID | `REASON#COUNT PartN`, then the end of the kernel's log: `<PRI>[  sec.usec] text`; Part1 is the newest |
 * | console-BACKEND-ID | what was printed to the console until death: `[  sec.usec] text`; its beginning is cut anywhere |
 * | pmsg-BACKEND-ID | what programs wrote to /dev/pmsg0; ours write `<LEVEL>name: text` |
 *
 * A caller may stand behind the time: `[  sec.usec][  T123] text`. Every line of a record of several
 * lines has the prefix again. ramoops adds what its error correction found to the end. It is memory
 * that was without power or refresh: any byte may be wrong, and what isn't as above is text.
 *
 * Source: fs/pstore/platform.c, fs/pstore/ram.c and kernel/printk/printk.c of Linux.
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import { escapeBytes } from "../raw_lines.ts";

export type DumpKind = "dmesg" | "console" | "pmsg";

export interface DumpLine {
  /** Facility * 8 + level; the console doesn't say it. */
  prio: number | undefined;
  /** As printed; a line without a time has that of the one before. */
  usec: number;
  timed: boolean;
  /** `caller=T123`, or empty. */
  fields: string;
  /** Escaped as in /dev/kmsg. */
  text: string;
}

export interface Dump {
  kind: DumpKind;
  /** `Panic`, `Oops` ...; empty where no header says it. */
  reason: string;
  /** The how manieth dump of its boot. */
  count: number;
  /** 1 is the newest part of a dump. */
  part: number;
  lines: DumpLine[];
  /** What error correction couldn't repair, in its own words. */
  damage?: string;
}

/** The kernel's own bytes are ASCII; a flipped one makes a line of it. */
const header =
  /^(?:====\d{1,12}\.\d{1,9}(?:-[CD])?\n)?(?:([ -~]{1,40})#(\d{1,9}) Part(\d{1,9})(?:\n|$))?/;
const notice =
  /\n(?:ECC: )?(?:No errors detected|(\d+ Corrected bytes, (\d+) unrecoverable blocks))\n?$/;
const prefix =
  /^(?:<(\d{1,4})>)?(?:\[ {0,12}(\d{1,9})\.(\d{6})\](?:\[ {0,12}([TC]\d{1,10})\])?(?: |$))?/;

/** Facility user, level info: what a program that says no more gets from the kernel, too. */
const pmsgPrio = 14;

/** Reads a dump; whatever the bytes are, each line of them comes out once. */
export function parseDump(kind: DumpKind, bytes: Uint8Array): Dump {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  const [head, reason = "", count, part] = header.exec(text)!;
  const said = notice.exec(text);
  const body = text.slice(head.length, said ? Math.max(said.index, head.length) : undefined);
  const lines = splitLines(body).flatMap(pieces).map((line) => parseLine(kind, line));
  inheritTimes(lines);
  const dump = { kind, reason, count: Number(count ?? 0), part: Number(part ?? 1), lines };
  return Number(said?.[2] ?? 0) > 0 ? { ...dump, damage: said![1]! } : dump;
}

/** What comes behind too many lines to be kept apart is one, with newlines in it. */
function splitLines(body: string): string[] {
  const lines = body.split("\n", limits.pstoreLinesMax);
  const end = lines.reduce((end, line) => end + line.length + 1, 0);
  return end < body.length ? [...lines, body.slice(end)] : lines;
}

/** A line in pieces that fit a frame however they are escaped; nothing of one that holds nothing. */
function pieces(line: string): string[] {
  // deno-lint-ignore no-control-regex
  if (/^\x00*$/.test(line)) return [];
  const cut = [];
  for (let at = 0; at < line.length; at += limits.rawLineBytesMax) {
    cut.push(line.slice(at, at + limits.rawLineBytesMax));
  }
  return cut;
}

function parseLine(kind: DumpKind, line: string): DumpLine {
  const [head, prio, seconds, micros, caller] = prefix.exec(line)!;
  const timed = seconds !== undefined;
  return {
    prio: prioOf(kind, prio === undefined ? undefined : Number(prio)),
    usec: timed ? Number(seconds) * 1e6 + Number(micros) : 0,
    timed,
    fields: caller === undefined ? "" : `caller=${caller}`,
    text: escapeBytes(Buffer.from(line.slice(head.length), "latin1")),
  };
}

/** What a program writes has no facility; the kernel makes it facility user. */
function prioOf(kind: DumpKind, said: number | undefined): number | undefined {
  if (kind !== "pmsg") return said;
  return said === undefined ? pmsgPrio : said < 8 ? said + 8 : said;
}

/** Lines before the first time, of which the oldest may be cut, can't be later than it. */
function inheritTimes(lines: DumpLine[]): void {
  let before = lines.find(({ timed }) => timed);
  for (const line of lines) {
    if (!line.timed && before) {
      line.usec = before.usec;
      line.prio ??= before.prio;
    }
    before = line;
  }
}
