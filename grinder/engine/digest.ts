/**
 * What is kept of a frame's text once it has been read: of each block what its header says, what the
 * rules found in it and what its clock sync records say; its text only where each record must be
 * looked at.
 */
import type { Rule } from "../rule.ts";

/** A record that a rule matched. */
export interface Find {
  rule: Rule;
  /** Where the record begins in the frame's text. */
  line: number;
  usec: number;
  value: number | undefined;
  /** JSON of the labels. */
  labels: string;
  /** `recordPart` of the event (../event.ts). */
  record: string;
  /** The same as UTF-8, if it is at hand: only until the next frame. */
  recordBytes?: Uint8Array | undefined;
}

/** A clock sync record. */
export interface Sync {
  line: number;
  seq: number;
  usec: number;
  wallUs: number;
  synced: boolean;
}

/**
 * | kind | what it is | what is there of it |
 * |------|------------|---------------------|
 * | plain | FIRST to LAST, each once, in order, no `g` record: as far as can be told from its ends | finds, syncs, usecs |
 * | exact | anything else with records | finds, text |
 * | raw | lines without identity | finds; COUNT is the number of lines |
 */
export type BlockKind = "plain" | "exact" | "raw";

export interface BlockDigest {
  readonly kind: BlockKind;
  /** `DEVICE BOOT SOURCE STREAM`; whether they are names is the reader's to check. */
  readonly names: string;
  /** Mostly another one for other names, always the same for the same; 0: not known. */
  readonly namesHash: number;
  /** Whether its names are those at `from`, their length and then their bytes: without making a string. */
  hasNames(words: Int32Array, from: number): boolean;
  readonly recvUs: number;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** Where its records begin in the frame's text. */
  readonly offset: number;
  /** The kernel's clock at the first and at the last record, syncs included. */
  readonly firstUsec: number;
  readonly lastUsec: number;
  /** In the order of (line, rule). */
  readonly finds: readonly Find[];
  readonly syncs: readonly Sync[];
  /** A byte string (shared/record.ts). */
  readonly text: string | undefined;
}

export interface FrameDigest {
  /** Once, in order; each is valid until the next one is asked for. */
  blocks: Iterable<BlockDigest>;
  /** Stretches of text that stand under no readable header. */
  badBlocks: number;
  /** Whether there are blocks that `mayRecover` (../recovered.ts). */
  hasLastWords: boolean;
}
