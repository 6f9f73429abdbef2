/**
 * The SQLite file in which the grinder remembers: opened by one grinder at a time, checked, and set
 * aside with the outputs that belong to it if it is lost or torn. All is ground again then.
 *
 * | table | what it holds |
 * |-------|---------------|
 * | cursors | where reading stands in each epoch |
 * | outputs | the committed length of each output file |
 * | streams | the seqs stored and explained of each stream, as IntervalSet text; where the newest stand |
 * | journal | what each batch has changed of streams whose rows are older (stream_store.ts) |
 * | gaps | each gap record once |
 * | facts | what is known of devices, boots and receivers; events that wait for their time (facts.ts) |
 * | recovered | the lines in the last words of boots that died, by stream |
 * | aggregates, aggregate_devices | windows of the last days, open and closed, and the devices in them |
 * | marks | `newest_recv_us`; `kept_from_us`: windows that begin before it aren't kept any more; `once_us`: see Grind.beginOnce |
 * | damage | what couldn't be read, and why |
 * | counters | totals since the beginning |
 */
import { mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { kinds } from "./day_files.ts";

const schemaVersion = 4;
const schema = `
CREATE TABLE cursors(epoch TEXT PRIMARY KEY, segment INTEGER, offset INTEGER) STRICT;
CREATE TABLE outputs(path TEXT PRIMARY KEY, length INTEGER) STRICT;
CREATE TABLE streams(id INTEGER PRIMARY KEY, stream TEXT UNIQUE, stored TEXT, explained TEXT,
  places TEXT, batch INTEGER, saved_us INTEGER) STRICT;
CREATE TABLE journal(batch INTEGER PRIMARY KEY, saved_us INTEGER, streams TEXT, frames TEXT,
  changes BLOB) STRICT;
CREATE TABLE gaps(stream TEXT, seq INTEGER, usec INTEGER, boot TEXT, first INTEGER, last TEXT,
  count INTEGER, cause TEXT, recv_us INTEGER, PRIMARY KEY(stream, seq, usec, cause, count)) STRICT;
CREATE TABLE facts(kind TEXT, key TEXT, value TEXT, saved_us INTEGER, PRIMARY KEY(kind, key))
  STRICT, WITHOUT ROWID;
CREATE TABLE recovered(boot TEXT, stream TEXT, line TEXT, seen INTEGER, fresh INTEGER,
  recv_us INTEGER, PRIMARY KEY(boot, stream, line)) STRICT, WITHOUT ROWID;
CREATE INDEX recovered_recv_us ON recovered(recv_us);
CREATE TABLE aggregates(start_us INTEGER, window_us INTEGER, rule TEXT, labels TEXT, count INTEGER,
  devices INTEGER, first_us INTEGER, last_us INTEGER, sketch TEXT, rev INTEGER, due_us INTEGER,
  PRIMARY KEY(start_us, window_us, rule, labels)) STRICT;
CREATE INDEX aggregates_due ON aggregates(due_us) WHERE due_us IS NOT NULL;
CREATE TABLE aggregate_devices(start_us INTEGER, window_us INTEGER, rule TEXT, labels TEXT,
  devices TEXT) STRICT;
CREATE INDEX aggregate_devices_key ON aggregate_devices(start_us, window_us, rule, labels);
CREATE TABLE marks(name TEXT PRIMARY KEY, us INTEGER) STRICT;
CREATE TABLE damage(segment TEXT, offset INTEGER, length INTEGER, why TEXT,
  PRIMARY KEY(segment, offset)) STRICT;
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER) STRICT;
PRAGMA user_version = ${schemaVersion};
`;

/** The state can't be used as it is; somebody has to do something about it. */
export class StateError extends Error {
  override name = "StateError";
  readonly code = "state";
}

export type Value = number | string | Uint8Array | null;
export type Row = Record<string, Value>;

/** A database with its prepared statements; they are as many as there are in the source. */
export class StateFile {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /**
   * Opens the file in `folder`, or begins a new one; `report` is told when something was set aside.
   * Throws `StateError` if another grinder has it open, or if it is of another version.
   */
  static open(folder: string, nowMs: number, report: (text: string) => void): StateFile {
    mkdirSync(folder, { recursive: true });
    const setAside = (names: readonly string[], why: string) =>
      moveAside(folder, names, why, nowMs, report);
    try {
      return new StateFile(openDatabase(folder, setAside));
    } catch (error) {
      const { message } = error as Error;
      if (message.includes("database is locked")) {
        throw new StateError(
          `Cannot open ${pathIn(folder)} because only one grinder can use it: another has it open`,
        );
      }
      // A torn or foreign file. Anything else isn't about the file.
      if (!isDamage(message)) throw error;
      const files = ["grinder.sqlite", "grinder.sqlite-wal", "grinder.sqlite-shm"];
      setAside([...files, ...kinds], message);
      return new StateFile(openDatabase(folder, setAside));
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
      // After a full disk SQLite has done it by itself.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  /** A point in time that was saved under this name; 0 if none was. */
  markUs(name: string): number {
    const [row] = this.all("SELECT us FROM marks WHERE name = ?", name);
    return (row?.["us"] ?? 0) as number;
  }

  saveMark(name: string, us: number): void {
    this.run("INSERT OR REPLACE INTO marks VALUES(?, ?)", name, us);
  }

  run(sql: string, ...values: Value[]): void {
    this.#statement(sql).run(...values);
  }

  all(sql: string, ...values: Value[]): Row[] {
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

function pathIn(folder: string): string {
  return join(folder, "grinder.sqlite");
}

function openDatabase(
  folder: string,
  setAside: (names: readonly string[], why: string) => void,
): DatabaseSync {
  const db = new DatabaseSync(pathIn(folder));
  try {
    // Exclusive: a second grinder on the same state must not start.
    db.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
    );
    const { user_version: version } = db.prepare("PRAGMA user_version").get() as Row;
    if (version === 0) {
      // Outputs that are here belong to a state that is lost: ground again, all would be there twice.
      setAside(kinds, "it is empty");
      db.exec(`BEGIN; ${schema} COMMIT;`);
    } else if (version !== schemaVersion) {
      throw new StateError(
        `Cannot use ${
          pathIn(folder)
        } because its version must be ${schemaVersion}: it is ${version}`,
      );
    }
    const { quick_check: found } = db.prepare("PRAGMA quick_check(1)").get() as Row;
    if (found !== "ok") throw new Error(`${malformed}: ${found}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** SQLite's own words: not every runtime gives its error codes. */
const malformed = "database disk image is malformed";

function isDamage(message: string): boolean {
  return message.includes(malformed) || message.includes("file is not a database");
}

/** Moves what is there of a lost state or its outputs out of the way, each under one new name. */
function moveAside(
  folder: string,
  names: readonly string[],
  why: string,
  nowMs: number,
  report: (text: string) => void,
): void {
  const mark = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, "");
  const there = names.filter((name) => !isEmpty(join(folder, name)));
  if (there.length === 0) return;
  report(
    `Cannot use ${pathIn(folder)} because it must be whole: ${why}. All is ground again; ` +
      `set aside as *.before-${mark}: ${there.join(", ")}`,
  );
  for (const name of there) renameSync(join(folder, name), join(folder, `${name}.before-${mark}`));
}

/** Also of what isn't there. */
function isEmpty(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return !stat || (stat.isDirectory() && readdirSync(path).length === 0);
}
