/**
 * What a search finds in a frame, as numbers and bytes, in which form it comes out of another thread's
 * memory (../engine/ring.ts).
 *
 * | numbers | meaning |
 * |---------|---------|
 * | 3 | when its first block was received (NaN: that can't be read); clock records; blocks |
 * | for each clock record 5 | `nameHash` of its device and boot, usec, wall_us, synced, when it was received |
 * | for each block 4 | where its header begins in the frame's text, where it ends, length of the header line, records |
 * | for each record behind it 3 | where it begins in the frame's text, its length; the line's number in a `raw` block |
 *
 * The bytes: of each block its header line without the newline, then its records as they are stored.
 */
import type { Buffer } from "node:buffer";
import { type BlockHeader, parseBlockHeader } from "../../shared/block.ts";
import { DigestWriter } from "../engine/packed_digest.ts";
import type { ClockRecord } from "../index/gram_table.ts";

export interface FoundRecord {
  /** Where it begins in the frame's text, in bytes. */
  line: number;
  /** The line's number in a `raw` block, else 0. */
  number: number;
  /** A byte string: its lines as they are stored. */
  text: string;
}

export interface FoundBlock {
  header: BlockHeader;
  /** From its header line on, in the frame's text. */
  start: number;
  end: number;
  records: FoundRecord[];
}

export interface Found {
  recvUs: number;
  syncs: readonly ClockRecord[];
  blocks: FoundBlock[];
}

const headNumbers = 3;
const syncNumbers = 5;
const blockNumbers = 4;
const recordNumbers = 3;

/** Fills the numbers and bytes of a digest with this in the place of the usual. */
export class FoundWriter extends DigestWriter {
  #blockAt = 0;

  override begin(): void {
    this.length = headNumbers;
    this.byteLength = 0;
    this.numbers.fill(0, 0, headNumbers);
  }

  firstRecvUs(us: number): void {
    this.numbers[0] = us;
  }

  /** Before the first block. */
  clock({ boot, usec, wallUs, synced, recvUs }: ClockRecord): void {
    this.numbers[1]!++;
    this.#push(boot, usec, wallUs, synced ? 1 : 0, recvUs);
  }

  found(frame: Uint8Array, start: number, end: number, headerEnd: number): void {
    this.numbers[2]!++;
    this.#blockAt = this.length;
    this.#push(start, end, headerEnd - start, 0);
    this.#copy(frame, start, headerEnd);
  }

  record(frame: Uint8Array, start: number, end: number, number: number): void {
    this.numbers[this.#blockAt + 3]!++;
    this.#push(start, end - start, number);
    this.#copy(frame, start, end);
  }

  #push(...more: number[]): void {
    if (this.length + more.length > this.numbers.length) {
      const grown = new Float64Array(2 * this.numbers.length);
      grown.set(this.numbers);
      this.numbers = grown;
    }
    for (const number of more) this.numbers[this.length++] = number;
  }

  /** All of a frame fits. */
  #copy(frame: Uint8Array, start: number, end: number): void {
    this.bytes.set(frame.subarray(start, end), this.byteLength);
    this.byteLength += end - start;
  }
}

/** Numbers are taken by their places: a search of a common word has hundreds of thousands of records. */
export function unpackFound(numbers: Float64Array, bytes: Buffer): Found {
  const blocksAt = headNumbers + syncNumbers * numbers[1]!;
  const syncs: ClockRecord[] = [];
  for (let at = headNumbers; at < blocksAt; at += syncNumbers) {
    const [boot, usec, wallUs] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
    syncs.push({ boot, usec, wallUs, synced: numbers[at + 3] === 1, recvUs: numbers[at + 4]! });
  }
  let [at, byte] = [blocksAt, 0];
  const blocks: FoundBlock[] = [];
  for (let left = numbers[2]!; left > 0; left--) {
    const [start, end, length] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
    const records: FoundRecord[] = new Array(numbers[at + 3]!);
    at += blockNumbers;
    const header = parseBlockHeader(bytes.toString("latin1", byte, byte += length));
    for (let i = 0; i < records.length; i++, at += recordNumbers) {
      const text = bytes.toString("latin1", byte, byte += numbers[at + 1]!);
      records[i] = { line: numbers[at]!, number: numbers[at + 2]!, text };
    }
    if (header) blocks.push({ header, start, end, records });
  }
  return { recvUs: numbers[0]!, syncs, blocks };
}
