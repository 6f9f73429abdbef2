/**
 * The names in a block's header line, `DEVICE BOOT SOURCE STREAM`, to what is asked for under them:
 * read once and remembered, since the same device sends thousands of blocks.
 */
import { Buffer } from "node:buffer";
import { isName } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { clockKey } from "./boot_clocks.ts";
import type { BlockDigest } from "./engine/digest.ts";
import { namesPart } from "./event.ts";
import type { BootName } from "./index/part_builder.ts";
import { mayRecover } from "./recovered.ts";
import { type Seen, type Stream, streamKey } from "./seen.ts";

export interface BlockNames extends BootName {
  text: string;
  /** The same, as bytes in words. */
  words: Int32Array;
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
}

export class NameTable {
  readonly #known = new Map<string, BlockNames>();
  /** The last one of each hash: mostly it is the one, which can be seen without making a string. */
  readonly #byHash = new Map<number, BlockNames>();

  constructor(private readonly seen: Seen) {}

  /** To be called when streams were let go. */
  clear(): void {
    this.#known.clear();
    this.#byHash.clear();
  }

  /** Undefined if these aren't four names. */
  get(block: Pick<BlockDigest, "names" | "namesHash" | "hasNames">): BlockNames | undefined {
    const guess = this.#byHash.get(block.namesHash);
    if (guess && block.hasNames(guess.words, guess.text.length)) return guess;
    const names = this.#find(block.names);
    if (names) this.#byHash.set(block.namesHash, names);
    return names;
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
  const words = new Int32Array((text.length + 3) >> 2);
  Buffer.from(words.buffer).write(text, "latin1");
  return {
    text,
    words,
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
    part: namesPart(names),
  };
}
