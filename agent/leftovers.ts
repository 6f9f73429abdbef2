/** What previous runs left in a spool, as sources: one for each stream, or part of one, oldest first. */
import type { LogRecord } from "../shared/record.ts";
import type { QueueReader } from "./queue_reader.ts";
import { isSameStream } from "./queue_reader.ts";
import type { Source, StreamNames } from "./source.ts";
import type { SpoolQueue } from "./spool_queue.ts";
import { Unbroken } from "./unbroken.ts";

/**
 * Each is to be shipped to its last acknowledgement before the next is asked for. `boot` is this one's.
 * Of a stream that still goes on (the kernel's ring) some may be shipped twice: its seqs tell.
 */
export async function* leftovers(queue: SpoolQueue, boot: string): AsyncGenerator<Leftover> {
  const reader = queue.leftovers;
  for (let names = await reader.names(); names; names = await reader.names()) {
    yield new Leftover(names, reader, boot);
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
  ) {
    this.boot = names.boot;
    this.source = names.source;
    this.stream = names.stream;
    this.over = names.boot !== boot;
  }

  async read(): Promise<LogRecord[] | undefined> {
    const next = this.#closed ? undefined : await this.reader.names();
    if (!next || !isSameStream(next, this.names)) return undefined;
    return this.#unbroken.pass((await this.reader.read())!.records);
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
