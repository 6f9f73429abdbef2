/** The streams that a run met: by their names, with what is to be remembered of each. */
import type { BlockHeader } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { partitionOf, streamColumns } from "./columns.ts";
import { PlainColumn, PlainFile, type Sink } from "./parquet/columns_out.ts";
import { hashOf } from "./row_hash.ts";
import type { SeenStream, SeenStreams } from "./seen_file.ts";

export type StreamNames = Pick<BlockHeader, typeof streamColumns[number]>;

/** One stream within one boot. */
export interface StreamEntry extends StreamNames {
  /** Counts from 0, in the order of being met. */
  id: number;
  hash: number;
  partition: number;
  /** When the kernel's clock was 0, as last reckoned. */
  startedUs: number;
  /** What is archived of it, over all boots. */
  seen: SeenStream;
  /** `g` and `s` records have no seq of their own: those of this run. */
  metas: Set<string>;
}

export class StreamTable {
  readonly #entries = new Map<string, StreamEntry>();
  readonly #seen: SeenStreams = new Map();

  constructor(
    private readonly partitions: number,
    /** The seqs that were archived before, by `seenKey`. */
    private readonly archived: SeenStreams,
  ) {}

  of(header: StreamNames): StreamEntry {
    const { device, boot, source, stream } = header;
    const key = `${device} ${boot} ${source} ${stream}`;
    const known = this.#entries.get(key);
    if (known) return known;
    const entry = {
      ...{ device, boot, source, stream },
      id: this.#entries.size,
      hash: hashOf(key),
      partition: partitionOf(device, this.partitions),
      startedUs: NaN,
      seen: this.#seenOf(seenKey(header)),
      metas: new Set<string>(),
    };
    this.#entries.set(key, entry);
    return entry;
  }

  /** What is archived with this run, of the streams that it met. */
  get seen(): SeenStreams {
    return this.#seen;
  }

  /** A file with a row for each, in which `rank` is its place in the archive's order. */
  write(sink: Sink): void {
    const numbers = ["stream_id", "rank"].map((name) => new PlainColumn(name, "int32"));
    const names = streamColumns.map((name) => new PlainColumn(name, "text"));
    const file = new PlainFile([...numbers, ...names], sink);
    const sorted = [...this.#entries.values()].sort(byNames);
    for (const [rank, entry] of sorted.entries()) {
      numbers[0]!.addInt32(entry.id);
      numbers[1]!.addInt32(rank);
      for (const [i, name] of streamColumns.entries()) names[i]!.addString(entry[name]);
    }
    file.addGroup(sorted.length);
    file.end();
  }

  /** What was archived before is left as it is: the run may fail. */
  #seenOf(key: string): SeenStream {
    let seen = this.#seen.get(key);
    if (seen) return seen;
    const { newestRecvUs = 0, seqs } = this.archived.get(key) ?? {};
    seen = { newestRecvUs, seqs: IntervalSet.decode(seqs?.encode() ?? "") };
    this.#seen.set(key, seen);
    return seen;
  }
}

/** What a seq is unique in: a followed file's stream goes on over boots. */
export function seenKey({ device, source, stream }: Omit<StreamNames, "boot">): string {
  return `${device} ${source} ${stream}`;
}

/** The order of their bytes: names are ASCII. */
export function byNames(a: StreamNames, b: StreamNames): number {
  const column = streamColumns.find((name) => a[name] !== b[name]);
  return column === undefined ? 0 : a[column] < b[column] ? -1 : 1;
}
