/**
 * An archive to the digests of its records, for the grinder: file by file, in each of them device by
 * device, of each device in the order of receiving. A device that goes on in the next row group is held
 * until all of it is there.
 */
import { Buffer } from "node:buffer";
import type { Cursor, Cursors } from "../../shared/storage/storage.ts";
import { epochKey, StorageError } from "../../shared/storage/storage.ts";
import { columns } from "../archive/columns.ts";
import type { ArchiveFile } from "../archive/manifest.ts";
import { readNumbers } from "../archive/parquet/column_in.ts";
import { RowGroup } from "../archive/row_group.ts";
import type { BlockDigest, FrameDigest } from "../engine/digest.ts";
import type { Digested } from "../engine/engine.ts";
import { unpackDigest } from "../engine/packed_digest.ts";
import type { StoodRead } from "../placed.ts";
import { ahead } from "../reading/ahead.ts";
import type { Rule } from "../rule.ts";
import type { ArchivedGroup, ArchiveEpoch } from "./archive_epoch.ts";
import type { GroupPart, RawPlace } from "./group_digester.ts";
import type { GroupJob, GroupThreads } from "./group_threads.ts";
import { groupText } from "./group_units.ts";

export interface ArchiveDigestsOptions {
  epoch: ArchiveEpoch;
  threads: GroupThreads;
  rules: readonly Rule[];
  /** Told when a receiver was heard, before what was received then. */
  heardAt: (receiver: string, recvUs: number) => void;
  /** Told how much of a file has been read. */
  done: (file: ArchiveFile, share: number) => void;
}

/** A row group on its way, or a file that can't be read. */
type Step =
  | { group: ArchivedGroup; job: GroupJob }
  | { segment: number; bytes: number; why: string };

/** A part, and where it is from. */
interface Held {
  group: ArchivedGroup;
  job: GroupJob;
  part: GroupPart;
}

/** Row groups on their way from the storage. */
const reads = 4;
const noBytes = new Uint8Array(0);
const nothing: FrameDigest = { blocks: [], badBlocks: 0, hasLastWords: false };

export class ArchiveDigests {
  constructor(private readonly options: ArchiveDigestsOptions) {}

  /** From its cursor on. The caller moves its cursors as with `readNew`. Throws `StorageError`. */
  async *from(cursors: Cursors): AsyncGenerator<Digested> {
    const { epoch, done } = this.options;
    const cursor = cursors.get(epochKey(epoch.name)) ?? { segment: 0, offset: 0 };
    let slot: string | undefined;
    let held: Held[] = [];
    for await (const step of this.#settled(cursor)) {
      if (!("group" in step)) {
        yield this.#bad(step);
        continue;
      }
      const { group, job } = step;
      if (group.file.slot !== slot) await this.#heard(group.segment);
      slot = group.file.slot;
      if (job.why !== undefined) yield this.#badGroup(group, job.why);
      const parts = job.parts ?? [];
      const last = group.goesOn ? parts.at(-1)?.device : "";
      for (const part of parts) {
        const isHeld = part.device !== "" && part.device === held[0]?.part.device;
        if (!isHeld) yield* this.#merged(held);
        if (!isHeld) held = [];
        const goesOn = part.raw !== undefined || part.device === last;
        if (isHeld || part.device !== "" && goesOn) held.push({ group, job, part });
        else yield* this.#merged([{ group, job, part }]);
      }
      if (!group.goesOn) {
        yield* this.#merged(held);
        held = [];
      }
      const { file, firstRow, meta, isLast } = group;
      done(file, isLast ? 1 : (firstRow + meta.rows) / file.rows);
    }
  }

  /** Row groups in order, when they are done; meanwhile others are being done. */
  async *#settled(cursor: Cursor): AsyncGenerator<Step> {
    const { threads } = this.options;
    const waiting: Step[] = [];
    const next = async () => {
      const step = waiting.shift()!;
      if ("job" in step) await threads.settled(step.job);
      return step;
    };
    for await (const step of this.#steps(cursor)) {
      waiting.push(step);
      if (waiting.length >= threads.ahead) yield await next();
    }
    while (waiting.length > 0) yield await next();
  }

  async *#steps({ segment: from, offset }: Cursor): AsyncGenerator<Step> {
    const { epoch, threads } = this.options;
    for (let segment = from; segment < epoch.files.length; segment++) {
      const fromRow = segment === from ? offset : 0;
      try {
        const groups = await epoch.groups(segment, fromRow);
        for await (const { group, chunks } of ahead(groups, reads, chunksOf)) {
          const start = Math.max(0, fromRow - group.firstRow);
          yield { group, job: threads.put(group.meta.rows, chunks, start) };
        }
      } catch (error) {
        if (error instanceof StorageError) throw error;
        const { path, bytes } = epoch.files[segment]!;
        yield { segment, bytes, why: `${path}: ${(error as Error).message}` };
      }
    }
  }

  /** What was received in a file's slot, and when: grinding goes by device, so it would come too late. */
  async #heard(segment: number): Promise<void> {
    const { epoch, heardAt } = this.options;
    const seconds = new Map<number, [least: number, most: number]>();
    for (const one of epoch.slotFrom({ segment, offset: 0 })) {
      const groups = await epoch.groups(one).catch(() => []);
      for await (const times of ahead(groups, reads, receiveTimes)) {
        for (const us of times) note(seconds, us);
      }
    }
    for (const [, [least, most]] of [...seconds].sort(([a], [b]) => a - b)) {
      heardAt(epoch.name.receiver, least);
      heardAt(epoch.name.receiver, most);
    }
  }

  /**
   * Parts of one device, as one in the order of receiving; then its raw lines. Rows say how far these have
   * been read; of what has a seq all may come again.
   */
  *#merged(held: readonly Held[]): Generator<Digested> {
    if (held.length === 0) return;
    const [raw, rest] = [held.filter(({ part }) => part.raw), held.filter(({ part }) => !part.raw)];
    const all = rest.map((one) => new PartBlocks(one, this.options.rules));
    const begin = cursorAt(held[0]!.group, held[0]!.part.startRow);
    const end = cursorAt(held.at(-1)!.group, held.at(-1)!.part.nextRow);
    for (let left = all.length; left > 0; left = all.filter(({ isEnd }) => !isEnd).length) {
      const open = all.filter(({ isEnd }) => !isEnd);
      const first = open.reduce((a, b) => b.recvUs < a.recvUs ? b : a);
      const others = open.filter((one) => one !== first);
      const untilUs = others.reduce((least, { recvUs }) => Math.min(least, recvUs), Infinity);
      const isLast = others.length === 0 && raw.length === 0;
      yield this.#digested(first, untilUs, isLast ? end : begin);
    }
    for (const [i, one] of raw.entries()) {
      const next = i === raw.length - 1 ? end : cursorAt(one.group, one.part.nextRow);
      yield this.#digested(new PartBlocks(one, this.options.rules), Infinity, next);
    }
  }

  #digested(blocks: PartBlocks, untilUs: number, next: Cursor): Digested {
    const { held: { group, job, part }, digest } = blocks;
    const { segment, firstRow, meta } = group;
    const read: StoodRead = {
      ...this.options.epoch.name,
      ...{ segment, offset: firstRow, length: meta.rows },
      next,
      frame: { bytes: noBytes, textBytes: part.textBytes },
      ...(part.raw ? { stood: part.raw } : {}),
    };
    const textOf = () => part.text ?? textOfGroup(job);
    return { read, digest: { ...digest, blocks: blocks.until(untilUs) }, textOf };
  }

  #badGroup({ file, segment, firstRow, meta }: ArchivedGroup, why: string): Digested {
    const next = { segment, offset: firstRow + meta.rows };
    const damage = `${file.path}: ${why}`;
    const at = { segment, offset: firstRow, length: meta.rows, next };
    return {
      read: { ...this.options.epoch.name, ...at, damage },
      digest: nothing,
      textOf: () => "",
    };
  }

  #bad({ segment, bytes, why }: Exclude<Step, { group: ArchivedGroup }>): Digested {
    const next = { segment: segment + 1, offset: 0 };
    const at = { segment, offset: 0, length: bytes, next, damage: why };
    return { read: { ...this.options.epoch.name, ...at }, digest: nothing, textOf: () => "" };
  }
}

/** Before a row of a group; behind the last one the next file begins. */
function cursorAt({ segment, firstRow, meta, isLast }: ArchivedGroup, row: number): Cursor {
  if (isLast && row === meta.rows) return { segment: segment + 1, offset: 0 };
  return { segment, offset: firstRow + row };
}

/** The blocks of a part, of which the next one can be looked at before it is taken. */
class PartBlocks {
  readonly digest: FrameDigest;
  readonly #blocks: Iterator<BlockDigest>;
  #next: IteratorResult<BlockDigest>;

  constructor(readonly held: Held, rules: readonly Rule[]) {
    const { numbers, bytes, raw } = held.part;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.digest = unpackDigest(numbers, buffer, rules);
    const blocks = raw ? shifted(this.digest.blocks, raw) : this.digest.blocks;
    this.#blocks = blocks[Symbol.iterator]();
    this.#next = this.#blocks.next();
  }

  get isEnd(): boolean {
    return this.#next.done === true;
  }

  get recvUs(): number {
    return this.#next.value.recvUs;
  }

  /** Those that were received up to then, and always one. */
  *until(us: number): Generator<BlockDigest> {
    do {
      yield this.#next.value;
      this.#next = this.#blocks.next();
    } while (!this.isEnd && this.recvUs <= us);
  }
}

/** Raw blocks with places in the frame in which they stood. */
function* shifted(blocks: Iterable<BlockDigest>, { shift }: RawPlace): Generator<BlockDigest> {
  for (const block of blocks) {
    const { kind, names, namesHash, recvUs, first, last, count, firstUsec, lastUsec, syncs } =
      block;
    const hasNames = block.hasNames.bind(block);
    const finds = block.finds.map((find) => ({ ...find, line: find.line + shift }));
    const offset = block.offset + shift;
    const rest = { recvUs, first, last, count, firstUsec, lastUsec, syncs, text: block.text };
    yield { kind, names, namesHash, hasNames, offset, finds, ...rest };
  }
}

async function chunksOf(group: ArchivedGroup) {
  const { parquet, meta } = group;
  const isThere = (name: string) => meta.columns.get(name)?.nulls !== meta.rows;
  const chunks = await parquet.chunks(meta, columns.filter(isThere));
  // Statistics are views of the whole footer, which would be copied along.
  const bare = [...chunks].map(([name, { chunk, bytes }]) =>
    [name, { chunk: { ...chunk, min: undefined, max: undefined }, bytes }] as const
  );
  return { group, chunks: new Map(bare) };
}

async function receiveTimes({ parquet, meta }: ArchivedGroup): Promise<Float64Array> {
  const { chunk, bytes } = (await parquet.chunks(meta, ["recv"])).get("recv")!;
  return readNumbers(chunk, bytes);
}

/** Gaps of less than a second are no matter. */
function note(seconds: Map<number, [least: number, most: number]>, us: number): void {
  const second = Math.floor(us / 1e6);
  const known = seconds.get(second);
  if (!known) seconds.set(second, [us, us]);
  else if (us < known[0]) known[0] = us;
  else if (us > known[1]) known[1] = us;
}

let last: { job: GroupJob | undefined; text: string } = { job: undefined, text: "" };

/** Asked for of a few blocks: of boots that died, and of records that came before. */
function textOfGroup(job: GroupJob): string {
  if (last.job !== job) {
    const { rows, chunks } = job.task;
    last = { job, text: groupText(new RowGroup({ rows }, chunks)) };
  }
  return last.text;
}
