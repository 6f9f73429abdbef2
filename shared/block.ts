/**
 * Blocks: the unit in which records travel and are stored. A block is one header line and whole
 * records behind it. No other line of ours begins with `#`.
 *
 * | where | header line | written by |
 * |-------|-------------|------------|
 * | upload, first line of a frame | `#0 FIRST LAST COUNT` | the agent |
 * | segment | `#1 DEVICE BOOT SOURCE STREAM RECV_US FIRST LAST COUNT` | the receiver |
 * | segment, the only line of its last frame | `#end` | the receiver |
 *
 * FIRST and LAST are the lowest and highest seq, COUNT is the number, of the *ordinary* records in the
 * block (`g` and `s` records don't count); all three are 0 where there is none. They are the client's
 * word: see `believable`. DEVICE BOOT SOURCE STREAM are names (`isName`); `-` stands for none. RECV_US
 * is the receiver's Unix time in microseconds.
 */
import { limits } from "./limits.ts";

export interface UploadHeader {
  first: number;
  last: number;
  count: number;
}

export interface BlockHeader extends UploadHeader {
  device: string;
  boot: string;
  source: string;
  stream: string;
  recvUs: number;
}

export interface Block {
  header: BlockHeader;
  /** The records behind the header line: a byte string (see record.ts). */
  text: string;
  /** Where `text` begins in its frame's text, in bytes. */
  offset: number;
}

export const endText = "#end\n";

/** The shortest record: `0,0,0,-;` and a newline. */
const recordBytesMin = 9;

/** True for what can stand in a header: no spaces, no slashes, nothing that a path would take. */
export function isName(text: string): boolean {
  return text.length <= limits.nameBytesMax && /^[A-Za-z0-9._:@+-]+$/.test(text) &&
    text !== "." && text !== "..";
}

/** Reads the line `#0 FIRST LAST COUNT` (without `\n`). Numbers may be up to 20 digits long. */
export function parseUploadHeader(line: string): UploadHeader | undefined {
  const match = /^#0 (\d{1,20}) (\d{1,20}) (\d{1,20})$/.exec(line);
  if (!match) return undefined;
  return { first: Number(match[1]), last: Number(match[2]), count: Number(match[3]) };
}

export function formatUploadHeader(header: UploadHeader): string {
  return `#0 ${header.first} ${header.last} ${header.count}\n`;
}

export function formatBlockHeader(h: BlockHeader): string {
  const numbers = [h.first, h.last, h.count].map((n) => Number.isSafeInteger(n) ? n : 0);
  return `#1 ${h.device} ${h.boot} ${h.source} ${h.stream} ${h.recvUs} ${numbers.join(" ")}\n`;
}

/** Reads a `#1` line (without `\n`); undefined if it isn't one. */
export function parseBlockHeader(line: string): BlockHeader | undefined {
  const parts = line.split(" ");
  if (parts.length !== 9 || parts[0] !== "#1") return undefined;
  const [, device, boot, source, stream] = parts as [string, string, string, string, string];
  if (![device, boot, source, stream].every(isName)) return undefined;
  const [recvUs, first, last, count] = parts.slice(5).map((n) => /^\d{1,20}$/.test(n) ? +n : NaN);
  if (![recvUs, first, last, count].every((n) => Number.isSafeInteger(n))) return undefined;
  return {
    device,
    boot,
    source,
    stream,
    recvUs: recvUs!,
    first: first!,
    last: last!,
    count: count!,
  };
}

/**
 * Whether FIRST LAST COUNT may be used in the place of reading every record: they agree with each
 * other, the text is long enough to hold so many records, and no `g` record is in it.
 */
export function believable(block: Block): boolean {
  return believableNumbers(block.header, block.text.length) && !hasGapRecord(block.text);
}

/** Whether FIRST LAST COUNT agree with each other and with so much text. */
export function believableNumbers(header: UploadHeader, textBytes: number): boolean {
  const { first, last, count } = header;
  return count > 0 && count === last - first + 1 && textBytes >= count * recordBytesMin;
}

/** One that says how many records are missing; without that it says nothing. */
function hasGapRecord(text: string): boolean {
  return text.includes(",g,") && /^\d+,\d+,\d+,g,[^;\n]*\bcount=/m.test(text);
}

/**
 * The blocks of one frame's text, in order. `bad` is told of text that stands under no readable
 * header; it is passed over.
 */
export function* readBlocks(
  frameText: string,
  bad: (text: string, offset: number) => void = () => {},
): Generator<Block> {
  for (let at = 0; at < frameText.length;) {
    const next = frameText.indexOf("\n#", at);
    const end = next < 0 ? frameText.length : next + 1;
    const lineEnd = frameText.indexOf("\n", at);
    const line = frameText.slice(at, lineEnd < 0 ? end : lineEnd);
    const header = parseBlockHeader(line);
    const offset = lineEnd < 0 ? end : lineEnd + 1;
    if (header) yield { header, text: frameText.slice(offset, end), offset };
    else if (frameText.slice(at, end) !== endText) bad(frameText.slice(at, end), at);
    at = end;
  }
}
