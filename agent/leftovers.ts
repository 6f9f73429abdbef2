/** What previous runs left in a spool, as sources: one for each stream, or part of one, oldest first. */
import { isMeta, type LogRecord } from "../shared/record.ts";
import { type Position, recordHash } from "./checkpoint.ts";
import type { QueueReader } from "./queue_reader.ts";
import { isSameStream } from "./queue_reader.ts";
import type { Source, StreamNames } from "./source.ts";
import type { SpoolQueue } from "./spool_queue.ts";
import { Unbroken } from "./unbroken.ts";

/**
 * Each is to be shipped to its last acknowledgement before the next is asked for. `boot` is this one's;
 * what `position` says to be acknowledged is left out.
 * Of a stream that still goes on (the kernel's ring) some may be shipped twice: its seqs tell.
 */
export async function* leftovers(
  queue: SpoolQueue,
  boot: string,
  position?: Position,
): AsyncGenerator<Leftover> {
  const reader = queue.leftovers;
  for (let names = await reader.names(); names; names = await reader.names()) {
    const known = position?.boot === names.boot && position.stream === names.stream;
    yield new Leftover(names, reader, boot, known ? position.seq : -1);
    // What isn't ordinary, or was refused, is never acknowledged by its seq.
    await reader.settleAll();
  }
  if (!reader.finished) await reader.finish();
}

export class Leftover implements Source {
  readonly boot: string;
  readonly source: string;
  readonly stream: string;
  readonly over: boolean;
  readonly #unbroken = new Unbroken();
  #closed = false;

  constructor(
    private readonly names: StreamNames,
    private readonly reader: QueueReader,
    boot: string,
    private readonly ackedSeq = -1,
  ) {
    this.boot = names.boot;
    this.source = names.source;
    this.stream = names.stream;
    this.over = names.boot !== boot;
  }

  async read(): Promise<LogRecord[] | undefined> {
    for (;;) {
      const next = this.#closed ? undefined : await this.reader.names();
      if (!next || !isSameStream(next, this.names)) return undefined;
      const { records } = (await this.reader.read())!;
      const unknown = records.filter(({ seq, flag }) => isMeta(flag) || seq > this.ackedSeq);
      if (unknown.length > 0) return this.#unbroken.pass(unknown);
    }
  }

  /** The record `seq` and all before it are durable: resolves when that is on disk. */
  acknowledged(seq: number): Promise<void> {
    return this.reader.acknowledged(seq);
  }

  /** What isn't read stays in the queue, for the next run. */
  close(): void {
    this.#closed = true;
  }
}

/** How far a stream was read before: to what is acknowledged, or to what an eager spool has of it. */
export async function readBefore(
  queue: SpoolQueue,
  names: StreamNames,
  acked: Position | undefined,
): Promise<Position | undefined> {
  const { boot, stream } = names;
  const left = await queue.lastLeft(names);
  const known = acked?.boot === boot && acked.stream === stream;
  if (!left || (known && acked.seq >= left.seq)) return acked;
  return { boot, stream, seq: left.seq, hash: recordHash(left) };
}
