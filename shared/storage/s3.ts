/**
 * An S3 bucket as storage (see storage.ts for the layout and the guarantees; s3_epoch.ts writes). The
 * server must list what has been put as soon as that is answered: all but very old ones do.
 *
 * Every object is a segment that is final as soon as it can be seen. The object `committed` isn't
 * needed for that: `NNNNNNNN 0` says that all numbers before this one are closed, `NNNNNNNN LENGTH end`
 * that this one is as well, and the last. It is put when an epoch begins and ends, and now and then.
 *
 * A reader stops at the first number that isn't there: it may be on its way, and it is closed before
 * anything behind it is acknowledged. Only if `committed` had said, before the listing began, that it
 * is closed, it must have been deleted for its age.
 */
import { Buffer } from "node:buffer";
import { limits } from "../limits.ts";
import { Semaphore } from "../semaphore.ts";
import { Bucket, type BucketOptions, type StoredObject } from "./s3_bucket.ts";
import { closedBefore, committedPath, S3Epoch } from "./s3_epoch.ts";
import { statusOf } from "./s3_errors.ts";
import {
  type Committed,
  type Cursor,
  type Cursors,
  epochKey,
  type EpochName,
  type EpochWriter,
  type Extent,
  newEpoch,
  parseCommitted,
  segmentPath,
  type Storage,
} from "./storage.ts";

export interface S3Options extends BucketOptions {
  /** A commit waits so long for company; who watches hears of news so often. */
  intervalMs?: number;
  /** Unix time. */
  nowMs?: () => number;
}

interface Known extends Committed {
  /** Of the object, as it is listed. */
  etag: string;
}

/** A look that found nothing. */
interface Quiet {
  segment: number;
  sinceMs: number;
  lookedMs: number;
}

export class S3Storage implements Storage {
  readonly #bucket: Bucket;
  readonly #intervalMs: number;
  readonly #nowMs: () => number;
  readonly #lists = new Semaphore(limits.s3ListsMax, "listings");
  /** What `committed` last said. An epoch that has ended isn't looked at again once it is read. */
  readonly #committed = new Map<string, Known>();
  readonly #quiet = new Map<string, Quiet>();

  constructor(private readonly options: S3Options) {
    this.#bucket = new Bucket(options);
    this.#intervalMs = options.intervalMs ?? limits.s3IntervalMs;
    this.#nowMs = options.nowMs ?? Date.now;
  }

  /** Rejects, in words for the operator, if the bucket can't be used. */
  check(): Promise<void> {
    return this.#bucket.check();
  }

  async createEpoch(receiver: string): Promise<EpochWriter> {
    const epoch = newEpoch(this.#nowMs(), this.options.random ?? Math.random);
    const name = { receiver, epoch };
    // It also shows, before the first upload, whether these keys may write.
    await this.#bucket.put(committedPath(name), closedBefore(0), { ifAbsent: true });
    return new S3Epoch(this.#bucket, name, this.#intervalMs, this.#nowMs);
  }

  async list(after: Cursors): Promise<Extent[]> {
    const names = await this.#epochs();
    const extents = await Promise.all(names.map(async (name) => {
      using _permit = await this.#lists.acquire();
      return await this.#extents(name, after.get(epochKey(name)) ?? { segment: 0, offset: 0 });
    }));
    return extents.flat();
  }

  read(
    at: EpochName & { segment: number },
    offset: number,
    length: number,
  ): Promise<Uint8Array> {
    return this.#bucket.get(segmentPath(at), offset, length);
  }

  /** S3 tells nobody: there may always be news. */
  watch(news: () => void): Disposable {
    const timer = setInterval(news, this.#intervalMs);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  async #epochs(): Promise<EpochName[]> {
    const receivers = await this.#bucket.folders("segments/");
    const names = await Promise.all(receivers.map(async (receiver) => {
      using _permit = await this.#lists.acquire();
      const epochs = await this.#bucket.folders(`segments/${receiver}/`);
      return epochs.map((epoch) => ({ receiver, epoch }));
    }));
    const all = names.flat();
    this.#forgetAllBut(new Set(all.map(epochKey)));
    const key = (n: EpochName) => `${n.epoch} ${n.receiver}`;
    return all.sort((a, b) => key(a) < key(b) ? -1 : 1);
  }

  #forgetAllBut(keys: Set<string>): void {
    for (const known of [this.#committed, this.#quiet]) {
      for (const key of known.keys()) if (!keys.has(key)) known.delete(key);
    }
  }

  async #extents(name: EpochName, from: Cursor): Promise<Extent[]> {
    const key = epochKey(name);
    const known = this.#committed.get(key);
    if ((known?.ended && from.segment > known.segment) || this.#isQuiet(key, from)) return [];
    let { extents, behindHole } = await this.#look(name, from, known?.segment ?? 0);
    if (behindHole !== undefined) {
      const { segment } = await this.#readCommitted(name, "");
      // It was read too late for what had been listed.
      if (behindHole <= segment) ({ extents } = await this.#look(name, from, segment));
    }
    this.#noteQuiet(key, from, extents.length === 0);
    return extents;
  }

  /** @param closed all numbers before it were closed before this began */
  async #look(
    name: EpochName,
    from: Cursor,
    closed: number,
  ): Promise<{ extents: Extent[]; behindHole?: number }> {
    const extents: Extent[] = [];
    const key = epochKey(name);
    const before = from.segment === 0 ? undefined : { ...name, segment: from.segment - 1 };
    const objects = this.#bucket.objects(`segments/${key}/`, before && segmentPath(before));
    let next = from.segment;
    for await (const object of objects) {
      const segment = segmentOf(object);
      if (segment === undefined) await this.#takeCommitted(name, object);
      else if (segment > next && segment > closed) return { extents, behindHole: segment };
      else {
        extents.push({ ...name, segment, length: object.size, final: true });
        next = segment + 1;
      }
    }
    return { extents };
  }

  async #takeCommitted(name: EpochName, { key, etag }: StoredObject): Promise<void> {
    const isNew = this.#committed.get(epochKey(name))?.etag !== etag;
    if (key === committedPath(name) && isNew) await this.#readCommitted(name, etag);
  }

  /** One that isn't there says nothing: it may have been deleted with all there was. */
  async #readCommitted(name: EpochName, etag: string): Promise<Committed> {
    const nothing = { segment: 0, length: 0, ended: false };
    const bytes = await this.#bucket.get(committedPath(name), 0, limits.committedBytesMax)
      .catch((error) => {
        if (statusOf((error as Error).cause) === 404) return new Uint8Array();
        throw error;
      });
    const committed = parseCommitted(Buffer.from(bytes).toString("latin1")) ?? nothing;
    this.#committed.set(epochKey(name), { ...committed, etag });
    return committed;
  }

  /** The epoch of a receiver that died never ends; it mustn't cost a request at each poll for ever. */
  #isQuiet(key: string, { segment }: Cursor): boolean {
    const quiet = this.#quiet.get(key);
    const nowMs = this.#nowMs();
    return quiet?.segment === segment && nowMs - quiet.sinceMs > limits.epochSilentMs &&
      nowMs - quiet.lookedMs < limits.s3QuietMs;
  }

  #noteQuiet(key: string, { segment }: Cursor, nothing: boolean): void {
    const quiet = this.#quiet.get(key);
    const lookedMs = this.#nowMs();
    if (!nothing) this.#quiet.delete(key);
    else if (quiet?.segment === segment) quiet.lookedMs = lookedMs;
    else this.#quiet.set(key, { segment, sinceMs: lookedMs, lookedMs });
  }
}

function segmentOf({ key }: StoredObject): number | undefined {
  const match = /\/(\d{8})\.zst$/.exec(key);
  return match ? Number(match[1]) : undefined;
}
