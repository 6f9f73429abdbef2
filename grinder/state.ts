/**
 * Everything the grinder must remember, in one SQLite file, changed in one transaction per batch.
 *
 * | table | what it holds |
 * |-------|---------------|
 * | cursors | where reading stands in each epoch |
 * | outputs | the committed length of each output file |
 * | streams | the seqs stored and explained of each stream, as IntervalSet text |
 * | gaps | each gap record once |
 * | clocks | the clock fit of each boot |
 * | aggregates, aggregate_devices | windows of the last days, open and closed, and the devices in them |
 * | damage | what couldn't be read, and why |
 * | counters | totals since the beginning |
 *
 * A state that is lost or torn is rebuilt by grinding again: it is moved aside with the outputs that
 * belonged to it.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { BlockHeader } from "../shared/block.ts";
import { IntervalSet } from "../shared/intervals.ts";
import type { Gap, LogRecord } from "../shared/record.ts";
import type { Read } from "../shared/segment_reader.ts";
import { type Cursor, segmentPath } from "../shared/storage/storage.ts";
import type { Aggregate, AggregateStore } from "./aggregates.ts";
import type { ClockFit } from "./clock.ts";
import { kinds } from "./day_files.ts";
import type { StreamSeen } from "./seen.ts";
import { Sketch } from "./sketch.ts";

/** SQLITE_CORRUPT and SQLITE_NOTADB. */
const corrupt = 11;
const notADatabase = 26;

const schemaVersion = 1;
const schema = `
CREATE TABLE cursors(epoch TEXT PRIMARY KEY, segment INTEGER, offset INTEGER) STRICT;
CREATE TABLE outputs(path TEXT PRIMARY KEY, length INTEGER) STRICT;
CREATE TABLE streams(stream TEXT PRIMARY KEY, stored TEXT, explained TEXT) STRICT;
CREATE TABLE gaps(stream TEXT, seq INTEGER, usec INTEGER, boot TEXT, first INTEGER, last TEXT,
  count INTEGER, cause TEXT, recv_us INTEGER, PRIMARY KEY(stream, seq, usec, cause, count)) STRICT;
CREATE TABLE clocks(boot TEXT PRIMARY KEY, rank INTEGER, offset_us INTEGER, error_us INTEGER) STRICT;
CREATE TABLE aggregates(start_us INTEGER, rule TEXT, labels TEXT, count INTEGER, devices INTEGER,
  first_us INTEGER, last_us INTEGER, sketch TEXT, rev INTEGER, due_us INTEGER,
  PRIMARY KEY(start_us, rule, labels)) STRICT;
CREATE INDEX aggregates_due ON aggregates(due_us) WHERE due_us IS NOT NULL;
CREATE TABLE aggregate_devices(start_us INTEGER, rule TEXT, labels TEXT, device TEXT,
  PRIMARY KEY(start_us, rule, labels, device)) STRICT, WITHOUT ROWID;
CREATE TABLE damage(segment TEXT, offset INTEGER, length INTEGER, why TEXT,
  PRIMARY KEY(segment, offset)) STRICT;
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER) STRICT;
PRAGMA user_version = ${schemaVersion};
`;

type Row = Record<string, number | string | null>;

export class State {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /**
   * Opens the state in `folder`, or begins a new one. Throws if another grinder has it open, or if it
   * is of a newer version.
   */
  static open(folder: string, nowMs: number, report: (text: string) => void): State {
    mkdirSync(folder, { recursive: true });
    const path = join(folder, "grinder.sqlite");
    // Outputs without a state are of one that is lost: what is ground again would be there twice.
    if (!existsSync(path)) setAside(folder, kinds, nowMs);
    try {
      return new State(openDatabase(path));
    } catch (error) {
      // A torn or foreign file. Anything else isn't about the file.
      const { errcode, message } = error as Error & { errcode?: number };
      if (errcode !== corrupt && errcode !== notADatabase) throw error;
      report(`Cannot read ${path}: ${message}. It is set aside, and all is ground again.`);
      const files = ["grinder.sqlite", "grinder.sqlite-wal", "grinder.sqlite-shm"];
      setAside(folder, [...files, ...kinds], nowMs);
      return new State(openDatabase(path));
    }
  }

  close(): void {
    this.#db.close();
  }

  /** Runs `work` as one durable transaction. */
  transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  cursors(): Map<string, Cursor> {
    return new Map(
      this.#all("SELECT epoch, segment, offset FROM cursors").map((row) => [
        row["epoch"] as string,
        { segment: row["segment"] as number, offset: row["offset"] as number },
      ]),
    );
  }

  saveCursor(epoch: string, { segment, offset }: Cursor): void {
    this.#run("INSERT OR REPLACE INTO cursors VALUES(?, ?, ?)", epoch, segment, offset);
  }

  outputs(): Map<string, number> {
    return new Map(
      this.#all("SELECT path, length FROM outputs").map((row) => [
        row["path"] as string,
        row["length"] as number,
      ]),
    );
  }

  saveOutput(path: string, length: number): void {
    this.#run("INSERT OR REPLACE INTO outputs VALUES(?, ?)", path, length);
  }

  loadStream(key: string): StreamSeen | undefined {
    const [row] = this.#all("SELECT stored, explained FROM streams WHERE stream = ?", key);
    if (!row) return undefined;
    return {
      stored: IntervalSet.decode(row["stored"] as string),
      explained: IntervalSet.decode(row["explained"] as string),
    };
  }

  saveStream(key: string, { stored, explained }: StreamSeen): void {
    this.#run(
      "INSERT OR REPLACE INTO streams VALUES(?, ?, ?)",
      key,
      stored.encode(),
      explained.encode(),
    );
  }

  /** Whether this gap record has been saved before. */
  hasGap(stream: string, record: LogRecord, { cause, count }: Gap): boolean {
    const sql =
      "SELECT 1 FROM gaps WHERE stream = ? AND seq = ? AND usec = ? AND cause = ? AND count = ?";
    return this.#all(sql, stream, record.seq, record.usec, cause, count).length > 0;
  }

  saveGap(stream: string, { boot, recvUs }: BlockHeader, record: LogRecord, gap: Gap): void {
    this.#run(
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

  loadClock(key: string): ClockFit | undefined {
    const [row] = this.#all("SELECT rank, offset_us, error_us FROM clocks WHERE boot = ?", key);
    return row && {
      rank: row["rank"] as ClockFit["rank"],
      offsetUs: row["offset_us"] as number,
      errorUs: row["error_us"] as number,
    };
  }

  saveClock(key: string, { rank, offsetUs, errorUs }: ClockFit): void {
    this.#run(
      "INSERT OR REPLACE INTO clocks VALUES(?, ?, ?, ?)",
      key,
      rank,
      Math.round(offsetUs),
      errorUs,
    );
  }

  readonly aggregates: AggregateStore = {
    load: (startUs, rule, labels) => {
      const sql = "SELECT * FROM aggregates WHERE start_us = ? AND rule = ? AND labels = ?";
      const [row] = this.#all(sql, startUs, rule, labels);
      return row && toAggregate(row);
    },
    labelSets: (startUs, rule) => {
      const sql = "SELECT count(*) AS n FROM aggregates WHERE start_us = ? AND rule = ?";
      return this.#all(sql, startUs, rule)[0]!["n"] as number;
    },
    hasDevice: ({ startUs, rule, labels }, device) => {
      const sql = "SELECT 1 FROM aggregate_devices " +
        "WHERE start_us = ? AND rule = ? AND labels = ? AND device = ?";
      return this.#all(sql, startUs, rule, labels, device).length > 0;
    },
  };

  openAggregates(): Aggregate[] {
    return this.#all("SELECT * FROM aggregates WHERE due_us IS NOT NULL").map(toAggregate);
  }

  saveAggregate(a: Aggregate, newDevices: Iterable<string>): void {
    this.#run(
      "INSERT OR REPLACE INTO aggregates VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      a.startUs,
      a.rule,
      a.labels,
      a.count,
      a.devices,
      Math.floor(a.firstUs),
      Math.floor(a.lastUs),
      a.sketch ? JSON.stringify(a.sketch) : null,
      a.rev,
      a.dueUs ?? null,
    );
    const sql = "INSERT OR IGNORE INTO aggregate_devices VALUES(?, ?, ?, ?)";
    for (const device of newDevices) this.#run(sql, a.startUs, a.rule, a.labels, device);
  }

  /** Closed windows that no record can change any more. */
  dropAggregatesBefore(startUs: number): void {
    this.#run("DELETE FROM aggregate_devices WHERE start_us < ?", startUs);
    this.#run("DELETE FROM aggregates WHERE start_us < ? AND due_us IS NULL", startUs);
  }

  saveDamage(read: Read): void {
    const { offset, length, damage } = read;
    const sql = "INSERT OR IGNORE INTO damage VALUES(?, ?, ?, ?)";
    this.#run(sql, segmentPath(read), offset, length, damage!);
  }

  counters(): Record<string, number> {
    const rows = this.#all("SELECT name, value FROM counters");
    return Object.fromEntries(rows.map((row) => [row["name"], row["value"] as number]));
  }

  addCounter(name: string, more: number): void {
    this.#run(
      "INSERT INTO counters VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
      name,
      more,
    );
  }

  #run(sql: string, ...values: Array<number | string | null>): void {
    this.#statement(sql).run(...values);
  }

  #all(sql: string, ...values: Array<number | string | null>): Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    // Exclusive: a second grinder on the same state must not start.
    db.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
    );
    const version = (db.prepare("PRAGMA user_version").get() as Row)["user_version"] as number;
    if (version === 0) db.exec(`BEGIN; ${schema} COMMIT;`);
    else if (version !== schemaVersion) {
      throw new Error(
        `Cannot use ${path} because its version must be ${schemaVersion}: it is ${version}`,
      );
    }
    const { quick_check: found } = db.prepare("PRAGMA quick_check(1)").get() as Row;
    if (found !== "ok") throw Object.assign(new Error(String(found)), { errcode: corrupt });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Moves files and folders that belong to a lost state out of the way, under one new name each. */
function setAside(folder: string, names: readonly string[], nowMs: number): void {
  const mark = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, "");
  for (const name of names) {
    const path = join(folder, name);
    const empty = !existsSync(path) ||
      (statSync(path).isDirectory() && readdirSync(path).length === 0);
    if (!empty) renameSync(path, `${path}.before-${mark}`);
  }
}

function toAggregate(row: Row): Aggregate {
  const sketch = row["sketch"] as string | null;
  return {
    startUs: row["start_us"] as number,
    rule: row["rule"] as string,
    labels: row["labels"] as string,
    count: row["count"] as number,
    devices: row["devices"] as number,
    firstUs: row["first_us"] as number,
    lastUs: row["last_us"] as number,
    sketch: sketch === null ? undefined : Sketch.fromJSON(JSON.parse(sketch)),
    rev: row["rev"] as number,
    dueUs: (row["due_us"] as number | null) ?? undefined,
  };
}
