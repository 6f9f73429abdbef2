/**
 * The file `index.sqlite`, beside the grinder's outputs: which devices are in which frames of hot
 * segments. It is a cache, which is made again from the data where it is lost, and read in part by who
 * reads logs: what it doesn't have is looked for in the segments themselves.
 *
 * | table | what it holds |
 * |-------|---------------|
 * | parts | the stretches of epochs that are indexed, one row for each; `sum` is over all of the row |
 * | texts | of each part (`part * 2^20 + n`): its frames (n = 0), its buckets (n = 1, 2, ...): see part.ts |
 * | devices | the names of all devices that were ever met |
 * | grams | which texts can hold what: see gram_table.ts; missing where nobody has made it yet |
 *
 * Other processes read while the grinder writes. A power failure can take the newest parts, never half
 * of one.
 */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { gramSchema, GramTable } from "./gram_table.ts";
import { PackedError } from "./packed.ts";
import {
  type BootFrames,
  bucketOf,
  type IndexedFrame,
  packBucket,
  packFrames,
  type Part,
  partSum,
  unpackBucket,
  unpackFrames,
} from "./part.ts";

const applicationId = 0x6c6d6978; // "lmix"
const version = 1;
const schema = `
CREATE TABLE parts(id INTEGER PRIMARY KEY, epoch TEXT, from_segment INTEGER, from_offset INTEGER,
  to_segment INTEGER, to_offset INTEGER, min_recv_us INTEGER, max_recv_us INTEGER, buckets INTEGER,
  sum INTEGER) STRICT;
CREATE TABLE texts(id INTEGER PRIMARY KEY, packed BLOB) STRICT;
CREATE TABLE devices(name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${version};
`;
const textsMax = 2 ** 20;
/** A writer holds the file for some milliseconds. */
const busyMs = 2_000;

/** The file isn't an index, or not as it was written: it is to be made again. */
export class IndexError extends Error {
  override name = "IndexError";
  readonly code = "index";
}

export interface StoredPart extends Part {
  id: number;
}

/** Beside the outputs in `folder`. */
export function indexPath(folder: string): string {
  return join(folder, "index.sqlite");
}

type Row = Record<string, number | string | Uint8Array>;

export class IndexFile implements Disposable {
  readonly #metDevices = new Set<string>();

  readonly grams: GramTable;

  private constructor(readonly path: string, private readonly db: DatabaseSync) {
    this.grams = new GramTable(db);
  }

  /** To read; undefined if there is none. Throws `IndexError`. */
  static read(path: string): IndexFile | undefined {
    if (!existsSync(path)) return undefined;
    return open(path, { readOnly: true });
  }

  /** To write. What stands there and is no index is set aside, of which `report` is told. */
  static write(path: string, nowMs: number, report: (text: string) => void): IndexFile {
    mkdirSync(dirname(path), { recursive: true });
    try {
      return open(path, { readOnly: false });
    } catch (error) {
      if (!(error instanceof IndexError)) throw error;
      const aside = `${path}.before-${nowMs}`;
      for (const end of ["", "-wal", "-shm"]) {
        if (existsSync(path + end)) renameSync(path + end, aside + end);
      }
      report(`${error.message}. It is made anew; set aside as ${aside}`);
      return open(path, { readOnly: false });
    }
  }

  /** @internal */
  static of(path: string, db: DatabaseSync): IndexFile {
    return new IndexFile(path, db);
  }

  [Symbol.dispose](): void {
    this.db.close();
  }

  /** All parts, in order. Throws `IndexError`. */
  parts(): StoredPart[] {
    const sql = "SELECT * FROM parts ORDER BY epoch, from_segment, from_offset, id";
    return this.#all(sql).map(readPart);
  }

  /** Those at these places of a part, by their places. Throws `IndexError`. */
  frames(part: StoredPart, places: ReadonlySet<number>): Map<number, IndexedFrame> {
    return this.#unpack(part, () => unpackFrames(part, this.#text(part, 0), places));
  }

  /** The boots of these devices in a part. Throws `IndexError`. */
  boots(part: StoredPart, devices: ReadonlySet<string>): BootFrames[] {
    if (part.buckets === 0) return [];
    const buckets = new Set([...devices].map((device) => bucketOf(device, part.buckets)));
    return this.#unpack(
      part,
      () =>
        [...buckets].flatMap((bucket) =>
          unpackBucket(part, bucket, this.#text(part, bucket + 1), devices)
        ),
    );
  }

  /** The names of devices that were ever met. */
  devices(): string[] {
    return this.#all("SELECT name FROM devices").map(({ name }) => name as string);
  }

  /** Adds a part, all of it or nothing. */
  add(part: Part, frames: readonly IndexedFrame[], buckets: readonly BootFrames[][]): void {
    this.#transaction(() => {
      const { epoch, from, to, minRecvUs, maxRecvUs } = part;
      const { lastInsertRowid } = this.db.prepare(
        "INSERT INTO parts VALUES(NULL,?,?,?,?,?,?,?,?,?)",
      )
        .run(
          ...[epoch, from.segment, from.offset, to.segment, to.offset, minRecvUs, maxRecvUs],
          ...[buckets.length, partSum(part)],
        );
      const first = Number(lastInsertRowid) * textsMax;
      const insert = this.db.prepare("INSERT INTO texts VALUES(?, ?)");
      insert.run(first, packFrames(part, frames));
      for (const [i, boots] of buckets.entries()) {
        insert.run(first + i + 1, packBucket(part, i, boots));
      }
      this.#meet(buckets);
    });
  }

  /** Takes away parts of which `isGone` says that they are of no use any more. */
  remove(isGone: (part: StoredPart) => boolean): number {
    const gone = this.parts().filter(isGone);
    this.#transaction(() => {
      for (const { id } of gone) {
        this.db.prepare("DELETE FROM parts WHERE id = ?").run(id);
        const [from, to] = [id * textsMax, (id + 1) * textsMax];
        this.db.prepare("DELETE FROM texts WHERE id >= ? AND id < ?").run(from, to);
      }
    });
    return gone.length;
  }

  /** Forgets all of it. */
  clear(): void {
    this.#transaction(() =>
      this.db.exec("DELETE FROM parts; DELETE FROM texts; DELETE FROM devices; DELETE FROM grams")
    );
    this.#metDevices.clear();
  }

  #meet(buckets: readonly BootFrames[][]): void {
    const insert = this.db.prepare("INSERT OR IGNORE INTO devices VALUES(?)");
    for (const { device } of buckets.flat()) {
      if (this.#metDevices.has(device)) continue;
      insert.run(device);
      this.#metDevices.add(device);
    }
  }

  #text({ id }: StoredPart, n: number): Uint8Array {
    const [row] = this.#all("SELECT packed FROM texts WHERE id = ?", id * textsMax + n);
    if (row) return row["packed"] as Uint8Array;
    throw new PackedError("a text is missing");
  }

  #unpack<T>({ epoch, from }: StoredPart, unpack: () => T): T {
    try {
      return unpack();
    } catch (error) {
      if (!(error instanceof PackedError)) throw error;
      const where = `${epoch} from ${from.segment}:${from.offset}`;
      throw new IndexError(`${this.path} can't be used for ${where}: ${error.message}`);
    }
  }

  #all(sql: string, ...values: number[]): Row[] {
    try {
      return this.db.prepare(sql).all(...values) as Row[];
    } catch (error) {
      throw new IndexError(`Cannot read ${this.path}: ${(error as Error).message}`);
    }
  }

  #transaction(work: () => void): void {
    this.db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.db.exec("COMMIT");
    } catch (error) {
      // After a full disk SQLite has done it by itself.
      if (this.db.isTransaction) this.db.exec("ROLLBACK");
      throw error;
    }
  }
}

function open(path: string, { readOnly }: { readOnly: boolean }): IndexFile {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly });
    db.exec(`PRAGMA busy_timeout = ${busyMs}`);
    const mark = (name: string) =>
      Number(Object.values(db!.prepare(`PRAGMA ${name}`).get() as Row)[0]);
    if (!readOnly && mark("user_version") === 0 && mark("schema_version") === 0) {
      // What is lost by a power failure is lost from the end.
      db.exec("PRAGMA journal_mode = WAL");
      db.exec(`BEGIN; ${schema} COMMIT;`);
    }
    if (!readOnly) db.exec("PRAGMA synchronous = NORMAL");
    const is = `${mark("application_id")} version ${mark("user_version")}`;
    if (is !== `${applicationId} version ${version}`) {
      throw new Error(`it must be a database of ${applicationId} version ${version}: it is ${is}`);
    }
    if (!readOnly) db.exec(gramSchema);
    return IndexFile.of(path, db);
  } catch (error) {
    db?.close();
    throw new IndexError(`Cannot use ${path} as an index: ${(error as Error).message}`);
  }
}

/** Throws `IndexError`. */
function readPart(row: Row): StoredPart {
  const number = (name: string) => Number(row[name]);
  const part = {
    id: number("id"),
    epoch: String(row["epoch"]),
    from: { segment: number("from_segment"), offset: number("from_offset") },
    to: { segment: number("to_segment"), offset: number("to_offset") },
    minRecvUs: number("min_recv_us"),
    maxRecvUs: number("max_recv_us"),
    buckets: number("buckets"),
  };
  if (partSum(part) === number("sum")) return part;
  throw new IndexError(`part ${part.id} isn't what was written`);
}
