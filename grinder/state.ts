/**
 * What the grinder remembers from run to run, saved in one transaction per batch (state_file.ts has
 * the tables).
 */
import type { BlockHeader } from "../shared/block.ts";
import type { Gap, LogRecord } from "../shared/record.ts";
import type { Read } from "../shared/segment_reader.ts";
import { type Cursor, segmentPath } from "../shared/storage/storage.ts";
import { SqlAggregateStore } from "./aggregate_store.ts";
import { SqlFactStore } from "./facts.ts";
import { SqlRecoveredStore } from "./recovered_store.ts";
import { StateFile } from "./state_file.ts";
import { SqlStreamStore } from "./stream_store.ts";

export class State {
  readonly aggregates: SqlAggregateStore;
  readonly recovered: SqlRecoveredStore;
  readonly streams: SqlStreamStore;
  readonly facts: SqlFactStore;

  private constructor(private readonly file: StateFile) {
    this.aggregates = new SqlAggregateStore(file);
    this.recovered = new SqlRecoveredStore(file);
    this.streams = new SqlStreamStore(file);
    this.facts = new SqlFactStore(file);
  }

  /** Opens the state in `folder`, or begins a new one: see `StateFile.open`. */
  static open(folder: string, nowMs: number, report: (text: string) => void): State {
    return new State(StateFile.open(folder, nowMs, report));
  }

  close(): void {
    this.file.close();
  }

  /** Runs `work` as one durable transaction. */
  transaction(work: () => void): void {
    this.file.transaction(work);
  }

  cursors(): Map<string, Cursor> {
    return new Map(
      this.file.all("SELECT epoch, segment, offset FROM cursors").map((row) => [
        row["epoch"] as string,
        { segment: row["segment"] as number, offset: row["offset"] as number },
      ]),
    );
  }

  saveCursor(epoch: string, { segment, offset }: Cursor): void {
    this.file.run("INSERT OR REPLACE INTO cursors VALUES(?, ?, ?)", epoch, segment, offset);
  }

  /** The newest receive time that has been read, in any epoch. */
  newestRecvUs(): number {
    return this.file.markUs("newest_recv_us");
  }

  saveNewestRecvUs(us: number): void {
    this.file.saveMark("newest_recv_us", us);
  }

  /** When the run began that ends after what is there, and hasn't yet; 0 if there is none. */
  onceUs(): number {
    return this.file.markUs("once_us");
  }

  saveOnceUs(us: number): void {
    this.file.saveMark("once_us", us);
  }

  outputs(): Map<string, number> {
    return new Map(
      this.file.all("SELECT path, length FROM outputs").map((row) => [
        row["path"] as string,
        row["length"] as number,
      ]),
    );
  }

  saveOutput(path: string, length: number): void {
    this.file.run("INSERT OR REPLACE INTO outputs VALUES(?, ?)", path, length);
  }

  /** Whether this gap record has been saved before. */
  hasGap(stream: string, record: LogRecord, { cause, count }: Gap): boolean {
    const sql =
      "SELECT 1 FROM gaps WHERE stream = ? AND seq = ? AND usec = ? AND cause = ? AND count = ?";
    return this.file.all(sql, stream, record.seq, record.usec, cause, count).length > 0;
  }

  saveGap(stream: string, { boot, recvUs }: BlockHeader, record: LogRecord, gap: Gap): void {
    this.file.run(
      "INSERT OR IGNORE INTO gaps VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
      stream,
      record.seq,
      record.usec,
      boot,
      gap.first ?? null,
      gap.last === undefined ? null : String(gap.last),
      gap.count,
      gap.cause,
      recvUs,
    );
  }

  /** Forgets streams, and their gaps, of which nothing has been heard since. */
  forgetBefore(us: number): void {
    this.streams.forgetBefore(us);
    this.file.run("DELETE FROM gaps WHERE recv_us < ?", us);
  }

  saveDamage(read: Read): void {
    const { offset, length, damage } = read;
    const sql = "INSERT OR IGNORE INTO damage VALUES(?, ?, ?, ?)";
    this.file.run(sql, segmentPath(read), offset, length, damage!);
  }

  counters(): Record<string, number> {
    const rows = this.file.all("SELECT name, value FROM counters");
    return Object.fromEntries(rows.map((row) => [row["name"], row["value"] as number]));
  }

  addCounter(name: string, more: number): void {
    this.file.run(
      "INSERT INTO counters VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
      name,
      more,
    );
  }
}
