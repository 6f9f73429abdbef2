/**
 * What the grinder reads, as it reads it, in; the index out, part by part. It must never be in the
 * grinder's way: what can't be written is left out, and read without an index.
 */
import { limits } from "../../shared/limits.ts";
import type { Read } from "../../shared/segment_reader.ts";
import { type Cursor, epochKey } from "../../shared/storage/storage.ts";
import { IndexError, IndexFile, indexPath } from "./index_file.ts";
import type { Stretch } from "./part.ts";
import { type BootName, PartBuilder } from "./part_builder.ts";

export interface IndexWriterOptions {
  nowMs: () => number;
  report: (text: string) => void;
}

export class IndexWriter implements Disposable {
  readonly #builders = new Map<string, PartBuilder>();
  /** What is in the file, of each epoch, in order. */
  readonly #known: Map<string, Stretch[]>;
  /** Of the frame that was taken last; undefined: it is in the file already. */
  #now: PartBuilder | undefined;
  #isFailing = false;

  constructor(private readonly file: IndexFile, private readonly options: IndexWriterOptions) {
    this.#known = Map.groupBy(soundParts(file, options.report), ({ epoch }) => epoch);
  }

  /** The index in a folder. What isn't one is set aside, what is torn is forgotten, and `report` is told. */
  static open(folder: string, options: IndexWriterOptions): IndexWriter {
    const { nowMs, report } = options;
    return new IndexWriter(IndexFile.write(indexPath(folder), nowMs(), report), options);
  }

  /** The same for a grinder, which does without one rather than end: `report` is told. */
  static tryOpen(folder: string, options: IndexWriterOptions): IndexWriter | undefined {
    try {
      return IndexWriter.open(folder, options);
    } catch (error) {
      options.report(`${(error as Error).message}. Nothing is indexed`);
      return undefined;
    }
  }

  /** The next read; its blocks follow. */
  take(read: Read): void {
    const { segment, offset, length, next } = read;
    this.#now = this.#builder(epochKey(read), read, next);
    if (!this.#now) return;
    if (read.text !== undefined || read.frame) this.#now.frame(segment, offset, length);
    this.#now.to = next;
  }

  /** A block of that frame; `firstUsec` is not above that of any of its records: 0, if it isn't known. */
  block(name: BootName, recvUs: number, firstUsec: number): void {
    this.#now?.block(name, recvUs, firstUsec);
  }

  /** All that was taken is committed: what has become large or old is written. */
  commit(): void {
    const nowMs = this.options.nowMs();
    for (const builder of this.#builders.values()) if (isDue(builder, nowMs)) this.#write(builder);
  }

  /** Writes all that was committed; what was taken since must be none. */
  flush(): void {
    for (const builder of [...this.#builders.values()]) this.#write(builder);
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }

  #builder(epoch: string, at: Cursor, next: Cursor): PartBuilder | undefined {
    const builder = this.#builders.get(epoch);
    if (builder && isAt(builder.to, at)) return builder;
    // It was read again from an earlier place, or from a later one: what lies between isn't here.
    this.#builders.delete(epoch);
    if (this.#isKnown(epoch, at, next)) return undefined;
    const made = new PartBuilder(
      epoch,
      { segment: at.segment, offset: at.offset },
      this.options.nowMs(),
    );
    this.#builders.set(epoch, made);
    return made;
  }

  #isKnown(epoch: string, at: Cursor, next: Cursor): boolean {
    return (this.#known.get(epoch) ?? []).some(({ from, to }) =>
      compare(from, next) < 0 && compare(at, to) < 0
    );
  }

  #write(builder: PartBuilder): void {
    this.#builders.delete(builder.epoch);
    const { part, buckets } = builder.part;
    if (compare(part.from, part.to) >= 0) return;
    try {
      this.file.add(part, builder.frames, buckets);
      this.#known.set(part.epoch, [...this.#known.get(part.epoch) ?? [], part]);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#failed(error as Error);
      this.#isFailing = true;
    }
    builder.clear();
  }

  #failed({ message }: Error): void {
    const { path } = this.file;
    this.options.report(
      `Cannot add to ${path}: ${message}. Reading is slower there; \`deno task index\` makes it good`,
    );
  }
}

/** All that are there, or none: then there are none any more. */
function soundParts(file: IndexFile, report: (text: string) => void): Stretch[] {
  try {
    return file.parts();
  } catch (error) {
    if (!(error instanceof IndexError)) throw error;
    report(
      `${error.message}. The index is begun anew; \`deno task index\` makes it of all there is`,
    );
    file.clear();
    return [];
  }
}

function isDue({ size, storedBytes, begunMs }: PartBuilder, nowMs: number): boolean {
  // A clock that was set back must not keep it for ever.
  const ageMs = Math.abs(nowMs - begunMs);
  return size >= limits.indexPartBlocks || storedBytes >= limits.indexPartBytes ||
    ageMs >= limits.indexPartMsMax ||
    (ageMs >= limits.indexPartMs && storedBytes >= limits.indexPartBytesMin);
}

function isAt(a: Cursor, b: Cursor): boolean {
  return a.segment === b.segment && a.offset === b.offset;
}

function compare(a: Cursor, b: Cursor): number {
  return a.segment - b.segment || a.offset - b.offset;
}
