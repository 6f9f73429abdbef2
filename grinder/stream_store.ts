/**
 * What has been seen of all streams, in the state. A batch saves only what it changes, as one row of a
 * journal; a stream's own row is saved when the journal that has its changes gets old, and so
 * rarely. Opened after a kill, the rows are brought up to date by the journal first.
 */
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import { type FramePlace, PlaceList } from "./place_list.ts";
import type { StreamSeen, StreamStore } from "./seen.ts";
import { columns, type SeenBatch } from "./seen_batch.ts";
import type { Row, StateFile } from "./state_file.ts";

/** A stream's own row. */
interface Saved extends StreamSeen {
  id: number;
  key: string;
  /** The batch up to which it is up to date. */
  batch: number;
}

export class SqlStreamStore implements StreamStore {
  nextBatch = 1;
  #nextId = 1;
  /** Bytes of the newest batches, oldest first: those that are in the journal. */
  #journal: number[] = [];
  #journalBytes = 0;

  constructor(
    private readonly file: StateFile,
    private readonly journalBytesMax: number = limits.journalBytesMax,
  ) {}

  /** Brings the streams' own rows up to date. For who has nothing of them in memory. */
  catchUp(): void {
    if (this.file.all("SELECT 1 FROM journal LIMIT 1").length > 0) {
      this.file.transaction(() => this.#replay());
    }
    this.#journal = [];
    this.#journalBytes = 0;
    const [row] = this.file.all("SELECT max(id) AS id, max(batch) AS batch FROM streams");
    this.#nextId = Math.max(this.#nextId, Number(row!["id"]) + 1);
    this.nextBatch = Math.max(this.nextBatch, Number(row!["batch"]) + 1);
  }

  load(key: string): Saved | undefined {
    const [row] = this.file.all("SELECT * FROM streams WHERE stream = ?", key);
    return row && toSaved(row);
  }

  newId(): number {
    return this.#nextId++;
  }

  get keptFrom(): number {
    let over = this.#journalBytes - this.journalBytesMax;
    let kept = 0;
    while (over > 0) over -= this.#journal[kept++]!;
    return this.nextBatch - this.#journal.length + kept;
  }

  /** Saves a batch and, whole, those streams that `keptFrom` asks for. Called in its transaction. */
  save(batch: SeenBatch, due: Iterable<Omit<Saved, "batch">>, nowUs: number): void {
    const { keptFrom } = this;
    // What comes later under the number that this batch doesn't take isn't in these rows.
    const upTo = batch.isEmpty ? this.nextBatch - 1 : this.nextBatch;
    for (const stream of due) this.#saveStream({ ...stream, batch: upTo }, nowUs);
    const kept = this.nextBatch - keptFrom;
    while (this.#journal.length > kept) this.#journalBytes -= this.#journal.shift()!;
    this.file.run("DELETE FROM journal WHERE batch < ?", keptFrom);
    if (batch.isEmpty) return;
    const { buffer, byteLength } = batch.changes;
    const changes = new Uint8Array(buffer, 0, byteLength);
    const frames = JSON.stringify(batch.frames);
    const streams = JSON.stringify(batch.streams);
    const sql = "INSERT INTO journal VALUES(?, ?, ?, ?, ?)";
    this.file.run(sql, this.nextBatch++, nowUs, streams, frames, changes);
    const bytes = changes.length + frames.length + streams.length;
    this.#journal.push(bytes);
    this.#journalBytes += bytes;
  }

  /** Forgets streams that haven't been heard of since. */
  forgetBefore(us: number): void {
    this.file.run("DELETE FROM streams WHERE saved_us < ?", us);
  }

  #saveStream({ id, key, stored, explained, places, batch }: Saved, nowUs: number): void {
    this.file.run(
      "INSERT OR REPLACE INTO streams VALUES(?, ?, ?, ?, ?, ?, ?)",
      id,
      key,
      stored.encode(),
      explained.encode(),
      places.encode(),
      batch,
      nowUs,
    );
  }

  #replay(): void {
    const streams = new Map<number, Saved>();
    let [savedUs, newest] = [0, 0];
    for (const row of this.file.all("SELECT * FROM journal ORDER BY batch")) {
      savedUs = row["saved_us"] as number;
      newest = row["batch"] as number;
      for (const [id, key] of JSON.parse(row["streams"] as string) as Array<[number, string]>) {
        if (!this.#loadId(id)) streams.set(id, newStream(id, key));
      }
      this.#apply(row, streams);
    }
    for (const stream of streams.values()) this.#saveStream({ ...stream, batch: newest }, savedUs);
    this.file.run("DELETE FROM journal");
  }

  /** Applies one batch to streams that aren't as new as it is. */
  #apply(row: Row, streams: Map<number, Saved>): void {
    const batch = row["batch"] as number;
    const frames = JSON.parse(row["frames"] as string) as FramePlace[];
    const numbers = new Float64Array((row["changes"] as Uint8Array).slice().buffer);
    for (let at = 0; at < numbers.length; at += columns) {
      const [id, first, last, frame, firstUsec, lastUsec] = numbers.subarray(
        at,
        at + columns,
      ) as unknown as [number, number, number, number, number, number];
      const stream = streams.get(Math.abs(id)) ?? this.#loadId(Math.abs(id));
      // It was forgotten, or saved after this batch.
      if (!stream || stream.batch >= batch) continue;
      streams.set(stream.id, stream);
      if (first <= last) (id < 0 ? stream.explained : stream.stored).add(first, last);
      if (frame > 0) stream.places.add(frames[frame - 1]!, firstUsec, lastUsec);
    }
  }

  #loadId(id: number): Saved | undefined {
    const [row] = this.file.all("SELECT * FROM streams WHERE id = ?", id);
    return row && toSaved(row);
  }
}

function newStream(id: number, key: string): Saved {
  const empty = {
    stored: new IntervalSet(),
    explained: new IntervalSet(),
    places: new PlaceList(),
  };
  return { ...empty, id, key, batch: 0 };
}

function toSaved(row: Row): Saved {
  return {
    id: row["id"] as number,
    key: row["stream"] as string,
    stored: IntervalSet.decode(row["stored"] as string),
    explained: IntervalSet.decode(row["explained"] as string),
    places: PlaceList.decode(row["places"] as string),
    batch: row["batch"] as number,
  };
}
