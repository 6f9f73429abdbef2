/**
 * A digest as numbers and bytes, in which form it comes out of another thread's memory: a tree of
 * objects would be copied at half a gigabyte a second.
 *
 * | numbers | meaning |
 * |---------|---------|
 * | 4 | bad blocks, blocks, where in the bytes the strings of the finds begin, 1: there are last words |
 * | for each block 13 | kind, length of the names, RECV_US FIRST LAST COUNT, offset, first and last usec, length of the text, syncs, finds, hash of the names |
 * | for each sync behind it 5 | line, seq, usec, wall_us, synced |
 * | for each find behind them 7 | line, rule, usec, value (NaN: none), length of the record part, where in it the labels begin, their length |
 *
 * The bytes: of each block its names and its text, each from a multiple of 4 on; behind all of them the
 * record parts of all finds, as UTF-8 (their lengths are those of the strings).
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import type { ClockSync, LogRecord } from "../../shared/record.ts";
import { recordHead, recordRest } from "../event.ts";
import type { Extracted, Rule } from "../rule.ts";
import type { BlockDigest, BlockKind, Find, FrameDigest, Sync } from "./digest.ts";
import { copyHashed, type Text } from "../sieve/words.ts";

const kinds: readonly BlockKind[] = ["plain", "exact", "raw"];
const headNumbers = 4;
const blockNumbers = 13;
const syncNumbers = 5;
const findNumbers = 7;

/** Where in a block's numbers they are that are known later. */
const namesAt = 1;
const textAt = 9;
const syncsAt = 10;
const findsAt = 11;
const hashAt = 12;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export class DigestWriter {
  /** As far as `length` says. */
  numbers = new Float64Array(16_384);
  length = 0;
  /** As far as `byteLength` says. */
  bytes: Buffer = Buffer.from(new ArrayBuffer(limits.frameTextBytesMax));
  byteLength = 0;
  #words = wordsOf(this.bytes);
  #strings = "";
  /** Where the newest block's numbers begin. */
  #block = 0;

  begin(): void {
    this.length = headNumbers;
    this.byteLength = 0;
    this.#strings = "";
    this.numbers.fill(0, 0, headNumbers);
  }

  lastWords(): void {
    this.numbers[3] = 1;
  }

  badBlock(): void {
    this.numbers[0]!++;
  }

  /** Its names and its text follow by `names` and `text`, its syncs and then its finds likewise. */
  block(
    kind: BlockKind,
    header: Pick<BlockDigest, "recvUs" | "first" | "last" | "count">,
    offset: number,
    ends: Pick<BlockDigest, "firstUsec" | "lastUsec">,
  ): void {
    this.#reserve(blockNumbers);
    const { numbers } = this;
    this.#block = this.length;
    numbers[1]!++;
    let at = this.length;
    numbers[at++] = kinds.indexOf(kind);
    numbers[at++] = 0;
    numbers[at++] = header.recvUs;
    numbers[at++] = header.first;
    numbers[at++] = header.last;
    numbers[at++] = header.count;
    numbers[at++] = offset;
    numbers[at++] = ends.firstUsec;
    numbers[at++] = ends.lastUsec;
    numbers[at++] = 0;
    numbers[at++] = 0;
    numbers[at++] = 0;
    numbers[at++] = 0;
    this.length = at;
  }

  names(text: Text, start: number, end: number): void {
    this.#reserveBytes(end - start);
    const { numbers } = this;
    numbers[this.#block + namesAt] = end - start;
    const word = this.byteLength >> 2;
    numbers[this.#block + hashAt] = copyHashed(text, start, end, this.#words, word);
    this.byteLength += wholeWords(end - start);
  }

  text(from: Uint8Array, start: number, end: number): void {
    this.#reserveBytes(end - start);
    this.numbers[this.#block + textAt] = end - start;
    this.bytes.set(from.subarray(start, end), this.byteLength);
    this.byteLength += wholeWords(end - start);
  }

  sync(
    line: number,
    { seq, usec }: Pick<LogRecord, "seq" | "usec">,
    { wallUs, synced }: ClockSync,
  ): void {
    this.#reserve(syncNumbers);
    const { numbers } = this;
    numbers[this.#block + syncsAt]!++;
    let at = this.length;
    numbers[at++] = line;
    numbers[at++] = seq;
    numbers[at++] = usec;
    numbers[at++] = wallUs;
    numbers[at++] = synced ? 1 : 0;
    this.length = at;
  }

  /** `text` is the record's, unescaped. */
  find(
    rule: number,
    line: number,
    record: Pick<LogRecord, "seq" | "usec" | "prio">,
    { labels, value, text }: Extracted & { text: string },
  ): void {
    this.#reserve(findNumbers);
    const labelsJson = JSON.stringify(labels);
    const head = recordHead(record);
    const rest = recordRest(labelsJson, value, text);
    const { numbers } = this;
    numbers[this.#block + findsAt]!++;
    let at = this.length;
    numbers[at++] = line;
    numbers[at++] = rule;
    numbers[at++] = record.usec;
    numbers[at++] = value ?? NaN;
    numbers[at++] = head.length + rest.length;
    numbers[at++] = head.length;
    numbers[at++] = labelsJson.length;
    this.length = at;
    this.#strings += head + rest;
  }

  end(): void {
    this.numbers[2] = this.byteLength;
    this.#reserveBytes(3 * this.#strings.length);
    const { written } = encoder.encodeInto(this.#strings, this.bytes.subarray(this.byteLength));
    this.byteLength += written;
  }

  #reserve(more: number): void {
    if (this.length + more <= this.numbers.length) return;
    const grown = new Float64Array(2 * this.numbers.length);
    grown.set(this.numbers);
    this.numbers = grown;
  }

  #reserveBytes(more: number): void {
    if (this.byteLength + wholeWords(more) <= this.bytes.length) return;
    const grown = Buffer.from(new ArrayBuffer(wholeWords(2 * (this.byteLength + more))));
    grown.set(this.bytes.subarray(0, this.byteLength));
    this.bytes = grown;
    this.#words = wordsOf(grown);
  }
}

function wholeWords(bytes: number): number {
  return (bytes + 3) & ~3;
}

function wordsOf({ buffer, byteOffset, length }: Buffer): Int32Array {
  return new Int32Array(buffer, byteOffset, length >> 2);
}

/** What was written, of a digester with these rules; as long as that stays as it is. */
export function unpackDigest(
  numbers: Float64Array,
  bytes: Buffer,
  rules: readonly Rule[],
): FrameDigest {
  const stringsAt = numbers[2]!;
  const blocks = bytes.subarray(0, stringsAt);
  const stringBytes = bytes.subarray(stringsAt);
  const strings = decoder.decode(stringBytes);
  return {
    badBlocks: numbers[0]!,
    hasLastWords: numbers[3] === 1,
    blocks: blocksOf(numbers[1]!, new BlockReader(numbers, blocks, strings, stringBytes, rules)),
  };
}

/** The same object for each block: hundreds of thousands a second would be made. */
function* blocksOf(count: number, block: BlockReader): Generator<BlockDigest> {
  for (let left = count; left > 0; left--) {
    block.next();
    yield block;
  }
}

const noSyncs: readonly Sync[] = [];
const noFinds: readonly Find[] = [];

class BlockReader implements BlockDigest {
  kind: BlockKind = "plain";
  finds = noFinds;
  syncs = noSyncs;
  /** Where the block's numbers begin, and the next one's. */
  #at = 0;
  #next = headNumbers;
  /** Where the block's names begin, its text, and the next one's names. */
  #namesAt = 0;
  #textAt = 0;
  #byte = 0;
  #string = 0;
  readonly #words: Int32Array;

  constructor(
    private readonly numbers: Float64Array,
    private readonly bytes: Buffer,
    private readonly strings: string,
    private readonly stringBytes: Uint8Array,
    private readonly rules: readonly Rule[],
  ) {
    this.#words = wordsOf(bytes);
  }

  next(): void {
    const { numbers } = this;
    const at = this.#at = this.#next;
    this.#next += blockNumbers;
    this.kind = kinds[numbers[at]!]!;
    this.#namesAt = this.#byte;
    this.#textAt = this.#namesAt + wholeWords(numbers[at + namesAt]!);
    this.#byte = this.#textAt + wholeWords(numbers[at + textAt]!);
    const syncs = numbers[at + syncsAt]!;
    const finds = numbers[at + findsAt]!;
    this.syncs = syncs === 0 ? noSyncs : this.#readSyncs(syncs);
    this.finds = finds === 0 ? noFinds : this.#readFinds(finds);
  }

  // Not all of them are asked for of each block.
  get recvUs(): number {
    return this.numbers[this.#at + 2]!;
  }

  get first(): number {
    return this.numbers[this.#at + 3]!;
  }

  get last(): number {
    return this.numbers[this.#at + 4]!;
  }

  get count(): number {
    return this.numbers[this.#at + 5]!;
  }

  get offset(): number {
    return this.numbers[this.#at + 6]!;
  }

  get firstUsec(): number {
    return this.numbers[this.#at + 7]!;
  }

  get lastUsec(): number {
    return this.numbers[this.#at + 8]!;
  }

  get namesHash(): number {
    // As a small integer it is looked up several times as quickly.
    return this.numbers[this.#at + hashAt]! | 0;
  }

  get names(): string {
    const length = this.numbers[this.#at + namesAt]!;
    return this.bytes.toString("latin1", this.#namesAt, this.#namesAt + length);
  }

  get text(): string | undefined {
    if (this.kind !== "exact") return undefined;
    const length = this.numbers[this.#at + textAt]!;
    return this.bytes.toString("latin1", this.#textAt, this.#textAt + length);
  }

  hasNames(names: Int32Array, from: number): boolean {
    const length = names[from]!;
    if (length !== this.numbers[this.#at + namesAt]) return false;
    const words = this.#words;
    const end = from + 1 + ((length + 3) >> 2);
    let at = this.#namesAt >> 2;
    for (let i = from + 1; i < end; i++) if (names[i] !== words[at++]) return false;
    return true;
  }

  #readSyncs(count: number): Sync[] {
    const syncs: Sync[] = [];
    while (syncs.length < count) syncs.push(this.#sync());
    return syncs;
  }

  #readFinds(count: number): Find[] {
    const finds: Find[] = [];
    while (finds.length < count) finds.push(this.#find());
    return finds;
  }

  #sync(): Sync {
    const { numbers } = this;
    const at = this.#next;
    this.#next += syncNumbers;
    return {
      line: numbers[at]!,
      seq: numbers[at + 1]!,
      usec: numbers[at + 2]!,
      wallUs: numbers[at + 3]!,
      synced: numbers[at + 4] === 1,
    };
  }

  #find(): Find {
    const { numbers } = this;
    const at = this.#next;
    this.#next += findNumbers;
    const value = numbers[at + 3]!;
    const start = this.#string;
    const end = this.#string += numbers[at + 4]!;
    const record = this.strings.slice(start, end);
    // As a rule all of it is ASCII, and each character a byte.
    const isAscii = this.stringBytes.length === this.strings.length;
    const labelsAt = numbers[at + 5]!;
    return {
      rule: this.rules[numbers[at + 1]!]!,
      line: numbers[at]!,
      usec: numbers[at + 2]!,
      value: Number.isNaN(value) ? undefined : value,
      labels: record.slice(labelsAt, labelsAt + numbers[at + 6]!),
      record,
      recordBytes: isAscii ? this.stringBytes.subarray(start, end) : undefined,
    };
  }
}
