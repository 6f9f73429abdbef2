/** The grinder's state in, an account of every stream out, and what was never read at all. */
import { IntervalSet } from "../../shared/intervals.ts";
import { mayRecover } from "../recovered.ts";
import { type Row, StateError, StateFile } from "../state_file.ts";
import { SqlStreamStore } from "../stream_store.ts";
import { accountOf, type SeenStream, type StreamAccount } from "./account.ts";
import { LedgerError, StateCopy } from "./state_copy.ts";

/** Streams that are read from the state at a time. */
const page = 5_000;

/** What no stream has: counters of the state, since its beginning. */
const unread = {
  deleted_segments: "segments deleted before they were read",
  damaged_frames: "stretches of segments that can't be read",
  bad_blocks: "lines under no header",
  bad_records: "lines that are no records",
  forgotten_holes: "holes taken for stored, in streams with too many",
} as const;

export interface Unread {
  what: string;
  count: number;
}

/** What the grinder knew at one moment. */
export class Ledger implements Disposable {
  /** By stream: in which boot the kernel said what was recovered. */
  #recoveredBoots: Map<string, string> | undefined;

  private constructor(private readonly copy: StateCopy, private readonly file: StateFile) {}

  /** `out` is where the grinder's outputs are. Throws `LedgerError`. */
  static open(out: string): Ledger {
    const copy = StateCopy.of(out);
    try {
      const file = StateFile.open(copy.folder, Date.now(), (text) => {
        throw new LedgerError(text.split(". All is ground")[0]);
      });
      // What each batch changed is beside the streams' own rows until then.
      new SqlStreamStore(file).catchUp();
      return new Ledger(copy, file);
    } catch (error) {
      copy[Symbol.dispose]();
      const isTold = error instanceof LedgerError || error instanceof StateError;
      throw isTold ? new LedgerError(error.message.replaceAll(copy.folder, out)) : error;
    }
  }

  [Symbol.dispose](): void {
    this.file.close();
    this.copy[Symbol.dispose]();
  }

  /** By device, source and stream; of one device, or of all. */
  *accounts(device?: string): Generator<StreamAccount> {
    let [after, end] = device === undefined ? ["", "\x7f"] : [`${device} `, `${device}!`];
    for (;;) {
      const rows = this.file.all(
        "SELECT stream, stored, explained FROM streams WHERE stream > ? AND stream < ? " +
          "ORDER BY stream LIMIT ?",
        ...[after, end, page],
      );
      if (rows.length === 0) return;
      const last = rows.at(-1)!["stream"] as string;
      const gaps = this.#gaps(after, last);
      for (const row of rows) yield this.#account(row, gaps);
      after = last;
    }
  }

  /** The devices of which anything is known, in order. */
  devices(): string[] {
    const sql = "SELECT DISTINCT substr(stream, 1, instr(stream, ' ') - 1) AS device FROM streams";
    return this.file.all(sql).map((row) => row["device"] as string).sort();
  }

  unread(): Unread[] {
    const counted = new Map(
      this.file.all("SELECT name, value FROM counters").map((row) => [row["name"], row["value"]]),
    );
    return Object.entries(unread).flatMap(([name, what]) => {
      const count = Number(counted.get(name) ?? 0);
      return count > 0 ? [{ what, count }] : [];
    });
  }

  #account(row: Row, gaps: ReadonlyMap<string, GapRow[]>): StreamAccount {
    const key = row["stream"] as string;
    const [device, source, stream] = key.split(" ") as [string, string, string];
    const own = gaps.get(key) ?? [];
    const account = accountOf({
      stored: IntervalSet.decode(row["stored"] as string),
      explained: IntervalSet.decode(row["explained"] as string),
      gaps: own,
    });
    const boot = this.#bootOf(key, source, stream, own);
    return { device, boot, source, stream, ...account };
  }

  /** Of all streams behind `after`, up to `last`. */
  #gaps(after: string, last: string): Map<string, GapRow[]> {
    const rows = this.file.all(
      "SELECT stream, boot, first, last, count, cause FROM gaps WHERE stream > ? AND stream <= ? " +
        "ORDER BY recv_us, seq, rowid",
      ...[after, last],
    );
    return Map.groupBy(rows.map(toGap), ({ key }) => key);
  }

  /** The kernel's own stream is named after the boot; of others the state has it where something was lost. */
  #bootOf(key: string, source: string, stream: string, [gap]: GapRow[]): string {
    this.#recoveredBoots ??= new Map(
      this.file.all("SELECT DISTINCT stream, boot FROM recovered").map(({ stream, boot }) => {
        const name = boot as string;
        return [stream as string, name.slice(name.indexOf(" ") + 1)];
      }),
    );
    const known = gap?.boot ?? this.#recoveredBoots.get(key);
    return known ?? (source === "kmsg" && !mayRecover({ source, stream }) ? stream : "-");
  }
}

type GapRow = SeenStream["gaps"][number] & { key: string; boot: string };

function toGap(row: Row): GapRow {
  const [first, last] = [row["first"], row["last"]];
  return {
    key: row["stream"] as string,
    boot: row["boot"] as string,
    ...(first === null ? {} : { first: first as number }),
    ...(last === null ? {} : { last: last === "?" ? "?" : Number(last) }),
    count: row["count"] as number,
    cause: row["cause"] as string,
  };
}
