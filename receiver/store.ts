/**
 * The blocks of one upload go in, each under a header of what was authenticated; out come, as they grow,
 * its decoded bytes that are durable.
 */
import { Buffer } from "node:buffer";
import { formatBlockHeader } from "../shared/block.ts";
import type { CommitQueue } from "../shared/commit_queue.ts";
import { Permit } from "../shared/semaphore.ts";
import type { UploadBlock, UploadNames } from "../shared/upload.ts";
import type { Stream } from "./admission.ts";
import { letGo } from "./let_go.ts";
import type { ReceiverMetrics } from "./receiver_metrics.ts";

export interface Store {
  commits: Pick<CommitQueue, "add">;
  metrics: Pick<ReceiverMetrics, "received">;
  nowUs: () => number;
}

export interface Upload {
  names: UploadNames & { device: string };
  stream: Stream;
  /** Told of all decoded bytes that are durable, whenever there are more. */
  durable: (bytes: number) => void;
}

/** Resolves to the upload's decoded bytes when all of them are durable. */
export async function storeUpload(
  blocks: AsyncIterable<UploadBlock>,
  upload: Upload,
  store: Store,
): Promise<number> {
  const pending = new Pending(upload, store);
  try {
    for await (const block of blocks) {
      const room = upload.stream.room(block.decodedBytes);
      pending.add(block, room instanceof Permit ? room : await room);
    }
  } finally {
    await pending.settled(); // However the stream ended, what was read of it is acknowledged.
  }
  if (pending.failed !== undefined) throw pending.failed;
  return pending.acked;
}

const nothing = new Uint8Array(0);

class Pending {
  acked = 0;
  failed: unknown;
  #waiting = 0;
  #none = () => {};

  constructor(private readonly upload: Upload, private readonly store: Store) {}

  add(block: UploadBlock, room: Permit): void {
    const { commits, metrics, nowUs } = this.store;
    const { header, records, decodedBytes } = block;
    metrics.received(decodedBytes);
    const line = formatBlockHeader({ ...this.upload.names, recvUs: nowUs(), ...header });
    this.#waiting++;
    commits.add([Buffer.from(line), records], (error) => this.#settle(decodedBytes, room, error));
    // While this stream waits for its next block the runtime holds on to this one.
    block.records = nothing;
    letGo(records, decodedBytes);
  }

  async settled(): Promise<void> {
    if (this.#waiting > 0) await new Promise<void>((resolve) => this.#none = resolve);
  }

  /** Blocks settle in order; what comes behind one that failed must not be acknowledged. */
  #settle(bytes: number, room: Permit, error: unknown): void {
    const { stream, durable } = this.upload;
    room.release();
    if (error !== undefined) stream.cut.abort(this.failed ??= error);
    else stream.started();
    if (this.failed === undefined) durable(this.acked += bytes);
    if (--this.#waiting === 0) this.#none();
  }
}
