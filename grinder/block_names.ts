/**
 * The names in a block's header line, `DEVICE BOOT SOURCE STREAM`, to what is asked for under them:
 * read once and remembered, since the same device sends thousands of blocks.
 */
import { Buffer } from "node:buffer";
import { isName } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { type ClockBoot, clockKey } from "./boot_clocks.ts";
import type { BlockDigest } from "./engine/digest.ts";
import { namesPart } from "./event.ts";
import type { BootName } from "./index/part_builder.ts";
import { mayRecover } from "./recovered.ts";
import { type Seen, type Stream, streamKey } from "./seen.ts";

/** A row: the length of the names and, from the next word on, their bytes. Two lines of a cache. */
const rowWords = 32;
const rowsFirst = 1_024;
const placesPerName = 4;

export interface BlockNames extends BootName, ClockBoot {
  text: string;
  /** The table's own notes. */
  hasRow: boolean;
  hash: number;
  device: string;
  boot: string;
  source: string;
  streamName: string;
  clockKey: string;
  /** What has been seen of the stream. */
  stream: Stream;
  /** Whether the stream is what the kernel itself has said in this boot. */
  isKernels: boolean;
  mayRecover: boolean;
  /** `BuiltInEvents.slotOf` its device, once that has been asked for. */
  slot: number | undefined;
  /** What an event's line says of them. */
  part: string;
  partBytes: Uint8Array;
}

export class NameTable {
  readonly #known = new Map<string, BlockNames>();
  /** From where their hashes say on: which of `#names` it is, from 1; 0 behind the last one. */
  #places = new Int32Array(placesPerName * rowsFirst);
  /**
   * Names in the order in which they came, and as a row of words each: side by side they are compared
   * without making a string, and without going from one object to the next.
   */
  readonly #names: BlockNames[] = [];
  #rows = new Int32Array(rowsFirst * rowWords);

  constructor(private readonly seen: Seen) {}

  /** To be called when streams were let go. */
  clear(): void {
    this.#known.clear();
    this.#names.length = 0;
    this.#places.fill(0);
  }

  /** Undefined if these aren't four names. */
  get(block: Pick<BlockDigest, "names" | "namesHash" | "hasNames">): BlockNames | undefined {
    const places = this.#places;
    const mask = places.length - 1;
    for (let at = block.namesHash & mask, row; (row = places[at]!) > 0; at = at + 1 & mask) {
      if (block.hasNames(this.#rows, (row - 1) * rowWords)) return this.#names[row - 1];
    }
    const names = this.#find(block.names);
    if (names && !names.hasRow) this.#addRow(names, block.namesHash);
    return names;
  }

  #addRow(names: BlockNames, hash: number): void {
    const { text } = names;
    // Who isn't known by a hash, or is too long, is looked for by his text.
    if (hash === 0 || text.length > 4 * (rowWords - 1)) return;
    names.hasRow = true;
    const row = this.#names.push(names);
    if (row * rowWords > this.#rows.length) this.#grow();
    const at = (row - 1) * rowWords;
    this.#rows.fill(0, at, at + rowWords);
    this.#rows[at] = text.length;
    Buffer.from(this.#rows.buffer, 4 * (at + 1), text.length).write(text, "latin1");
    names.hash = hash;
    this.#addPlace(hash, row);
  }

  #addPlace(hash: number, row: number): void {
    const mask = this.#places.length - 1;
    let at = hash & mask;
    while (this.#places[at]! > 0) at = at + 1 & mask;
    this.#places[at] = row;
  }

  #grow(): void {
    const rows = new Int32Array(2 * this.#rows.length);
    rows.set(this.#rows);
    this.#rows = rows;
    this.#places = new Int32Array(2 * this.#places.length);
    this.#names.slice(0, -1).forEach(({ hash }, i) => this.#addPlace(hash, i + 1));
  }

  #find(text: string): BlockNames | undefined {
    const known = this.#known.get(text);
    if (known) return known;
    const names = readNames(text, this.seen);
    if (!names) return undefined;
    // Who comes again is soon read again.
    if (this.#known.size >= limits.streamsCachedMax) this.clear();
    this.#known.set(names.text, names);
    return names;
  }
}

function readNames(text: string, seen: Seen): BlockNames | undefined {
  const parts = text.split(" ");
  if (parts.length !== 4 || !parts.every(isName)) return undefined;
  const [device, boot, source, stream] = parts as [string, string, string, string];
  const names = { device, boot, source, stream };
  const part = namesPart(names);
  return {
    text,
    hasRow: false,
    hash: 0,
    device,
    boot,
    source,
    streamName: stream,
    clockKey: clockKey(names),
    stream: seen.of(streamKey(names)),
    isKernels: source === "kmsg" && stream === boot,
    mayRecover: mayRecover(names),
    slot: undefined,
    // All of one shape: they are looked at for each block.
    indexBuilder: undefined,
    indexSlot: 0,
    clockFit: undefined,
    clockDropped: 0,
    part,
    partBytes: new TextEncoder().encode(part),
  };
}
