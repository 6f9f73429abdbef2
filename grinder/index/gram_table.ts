/**
 * The table `grams` of the index (index_file.ts): of stretches of hot segments, which grams their texts
 * hold (../grep/grams.ts), so that grep needn't read them all; and what it would have learned from them
 * beside that, when they were received and the clock records.
 *
 * | column | what it holds |
 * |--------|---------------|
 * | epoch, segment, from_offset, to_offset | the stretch: whole frames |
 * | recv_us | when the newest frame was received, by its first block; 0 if none says it |
 * | bits | the grams |
 * | sum | checksum over the bits, and all before |
 * | clocks | of each clock record, packed (packed.ts): hash of its device and boot, usec, wall_us, synced, when it was received |
 *
 * A segment is here as a whole, or not at all. Whoever finds no stretch reads.
 */
import type { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { PackedError, PackedReader, PackedWriter } from "./packed.ts";

export interface ClockRecord {
  /** `nameHash` of its device and boot. */
  boot: number;
  usec: number;
  wallUs: number;
  synced: boolean;
  recvUs: number;
}

export interface GramPlace {
  /** `epochKey` */
  epoch: string;
  segment: number;
  from: number;
  to: number;
}

export interface GramGroup extends GramPlace {
  recvUs: number;
  bits: Uint8Array;
  clocks: readonly ClockRecord[];
}

/** Without the clock records, which are seldom asked for. */
export interface GramRow extends Omit<GramGroup, "clocks"> {
  id: number;
}

type Row = Record<string, number | string | Uint8Array>;

export const gramSchema = `
CREATE TABLE IF NOT EXISTS grams(id INTEGER PRIMARY KEY, epoch TEXT, segment INTEGER,
  from_offset INTEGER, to_offset INTEGER, recv_us INTEGER, bits BLOB, sum INTEGER,
  clocks BLOB) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS grams_place ON grams(epoch, segment, from_offset);
`;

/** All of it throws `PackedError` for what isn't as it was written, and whatever SQLite throws. */
export class GramTable {
  constructor(private readonly db: DatabaseSync) {}

  /** Those of an epoch that are here. */
  segments(epoch: string): Set<number> {
    const rows = this.db.prepare("SELECT DISTINCT segment FROM grams WHERE epoch = ?").all(epoch);
    return new Set(rows.map(({ segment }) => Number(segment)));
  }

  /** The stretches of a segment, in order. */
  of(epoch: string, segment: number): GramRow[] {
    return this.db.prepare(
      "SELECT id, from_offset, to_offset, recv_us, bits, sum FROM grams " +
        "WHERE epoch = ? AND segment = ? ORDER BY from_offset",
    ).all(epoch, segment).map((row) => readRow(epoch, segment, row as Row));
  }

  clocks(row: GramRow): ClockRecord[] {
    const found = this.db.prepare("SELECT clocks FROM grams WHERE id = ?").get(row.id);
    if (!found) throw new PackedError("its clock records are missing");
    return unpackClocks(row, found["clocks"] as Uint8Array);
  }

  /** All of a segment; what is here of it already stays. */
  add(groups: readonly GramGroup[]): void {
    this.db.exec("BEGIN IMMEDIATE");
    try {
      const insert = this.db.prepare(
        "INSERT OR IGNORE INTO grams VALUES(NULL,?,?,?,?,?,?,?,?)",
      );
      for (const group of groups) {
        const { epoch, segment, from, to, recvUs, bits } = group;
        const sum = sumOf(group, recvUs, bits);
        insert.run(epoch, segment, from, to, recvUs, bits, sum, packClocks(group));
      }
      this.db.exec("COMMIT");
    } catch (error) {
      if (this.db.isTransaction) this.db.exec("ROLLBACK");
      throw error;
    }
  }

  /** Takes away the segments of which `isGone` says that they aren't stored any more. */
  remove(isGone: (epoch: string, segment: number) => boolean): void {
    const all = this.db.prepare("SELECT DISTINCT epoch, segment FROM grams").all() as Row[];
    const remove = this.db.prepare("DELETE FROM grams WHERE epoch = ? AND segment = ?");
    for (const { epoch, segment } of all) {
      if (isGone(epoch as string, segment as number)) {
        remove.run(epoch as string, segment as number);
      }
    }
  }
}

function readRow(epoch: string, segment: number, row: Row): GramRow {
  const number = (name: string) => Number(row[name]);
  const place = { epoch, segment, from: number("from_offset"), to: number("to_offset") };
  const [bits, recvUs] = [row["bits"] as Uint8Array, number("recv_us")];
  if (sumOf(place, recvUs, bits) === number("sum")) {
    return { id: number("id"), ...place, recvUs, bits };
  }
  throw new PackedError(`its checksum doesn't hold for grams of ${nameOf(place)}`);
}

function nameOf({ epoch, segment, from, to }: GramPlace): string {
  return `${epoch} ${segment} ${from} ${to}`;
}

function sumOf(place: GramPlace, recvUs: number, bits: Uint8Array): number {
  return crc32(bits, crc32(`${nameOf(place)} ${recvUs}`));
}

function packClocks(group: GramGroup): Uint8Array {
  const out = new PackedWriter();
  for (const { boot, usec, wallUs, synced, recvUs } of group.clocks) {
    for (const number of [boot, usec, wallUs, synced ? 1 : 0, recvUs]) out.number(number);
  }
  return out.end(`${nameOf(group)} clocks`);
}

function unpackClocks(place: GramPlace, packed: Uint8Array): ClockRecord[] {
  const reader = new PackedReader(packed, `${nameOf(place)} clocks`);
  const clocks: ClockRecord[] = [];
  while (!reader.isAtEnd) {
    const [boot, usec, wallUs] = [reader.number(), reader.number(), reader.number()];
    clocks.push({ boot, usec, wallUs, synced: reader.number() === 1, recvUs: reader.number() });
  }
  return clocks;
}
