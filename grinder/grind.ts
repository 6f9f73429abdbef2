/**
 * Frames in, events and aggregates out, each exactly once. What `take` was given is only gathered;
 * `commit` writes and syncs the outputs, then saves everything in one transaction. A process that is
 * killed in between finds the state as it was at the last commit, and reads the rest again.
 */
import { believable, type Block, type BlockHeader, readBlocks } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { forEachRecord, type Gap, type LogRecord, parseGap, parseSync } from "../shared/record.ts";
import type { Read } from "../shared/segment_reader.ts";
import { type Cursor, epochKey, segmentPath } from "../shared/storage/storage.ts";
import { Aggregates } from "./aggregates.ts";
import { clockKey, Clocks, type WallTime } from "./clock.ts";
import { DayFiles } from "./day_files.ts";
import { formatEvent, type PendingEvent } from "./event.ts";
import type { Matcher } from "./match.ts";
import { forEachRawLine } from "./raw_lines.ts";
import { countLines, mayRecover, Recovered, type StoredLines } from "./recovered.ts";
import { asLabel, type Rule } from "./rule.ts";
import { Seen, streamKey } from "./seen.ts";
import type { State } from "./state.ts";
import { Tails } from "./tails.ts";

export interface GrindOptions {
  state: State;
  /** Where `events/` and `aggregates/` are. */
  out: string;
  matcher: Matcher;
  windowUs: number;
  /** A device's own labels, from the allow-list. */
  labelsOf: (device: string) => Record<string, string>;
  warn: (text: string) => void;
  /** Whether an event of this wall time counts; the others are as if their rule had not matched. */
  keeps?: (wallUs: number) => boolean;
}

/** An event that waits for the end of its batch. */
interface Waiting extends PendingEvent {
  /** The rule whose aggregates count it; built-in events have none. */
  by?: Rule;
  /** As far as it is known already. */
  time: WallTime | undefined;
}

/**
 * What has been done at a commit: a `batch` was read and there may be more, `all` that is there was
 * read, or this is the `end`. Windows are closed by the newest receive time, by the wall clock, or at once.
 */
export type Done = "batch" | "all" | "end";

interface PendingGap {
  key: string;
  header: BlockHeader;
  record: LogRecord;
  gap: Gap;
}

export class Grind {
  /** Where reading stands, uncommitted steps included. */
  readonly cursors: Map<string, Cursor>;
  matcher: Matcher;
  /** What has been taken in since the last commit, and what it will take to write it. */
  pendingBytes = 0;
  readonly #state: State;
  readonly #files: DayFiles;
  readonly #seen: Seen;
  readonly #clocks: Clocks;
  readonly #aggregates: Aggregates;
  readonly tails: Tails;
  readonly #recovered: Recovered;
  readonly #moved = new Set<string>();
  #events: Waiting[] = [];
  #gaps = new Map<string, PendingGap>();
  #damage: Read[] = [];
  #counts = new Map<string, number>();
  #newestRecvUs: number;

  constructor(private readonly options: GrindOptions) {
    const { state, out, windowUs, warn } = options;
    this.#state = state;
    this.matcher = options.matcher;
    this.cursors = state.cursors();
    this.#newestRecvUs = state.newestRecvUs();
    this.#files = new DayFiles(out, state.outputs());
    this.#seen = new Seen((key) => state.loadStream(key));
    this.#clocks = new Clocks((key) => state.loadClock(key));
    this.#aggregates = new Aggregates(windowUs, state.aggregates, warn);
    this.tails = new Tails((boot) => state.recovered.loadPlaces(boot));
    this.#recovered = new Recovered(state.recovered);
  }

  /**
   * Takes in what was read; its effects are on disk after the next `commit`. `stored` is what
   * `tails.storedLines` says of this frame.
   */
  take(read: Read, stored?: Map<string, StoredLines>): void {
    const key = epochKey(read);
    const missed = read.segment - (this.cursors.get(key)?.segment ?? read.segment);
    if (missed > 0) {
      this.#count("deleted_segments", missed);
      const lost = "what hasn't been read of them is lost";
      this.options.warn(`${segmentPath(read)}: ${missed} before it have been deleted: ${lost}`);
    }
    this.cursors.set(key, read.next);
    this.#moved.add(key);
    if (read.damage !== undefined) {
      this.#damage.push(read);
      this.#count("damaged_frames");
      const where = `${segmentPath(read)} at ${read.offset}`;
      this.options.warn(`${where}: ${read.length} bytes set aside: ${read.damage}`);
    }
    if (read.text === undefined) return;
    this.pendingBytes += read.text.length;
    for (const block of readBlocks(read.text, () => this.#count("bad_blocks"))) {
      this.#newestRecvUs = Math.max(this.#newestRecvUs, block.header.recvUs);
      if (block.header.source === "raw") this.#raw(read, block);
      else this.#block(read, block, stored?.get(clockKey(block.header)));
    }
  }

  /** Makes all of it durable. After an error a new Grind must be made, which begins at the last commit. */
  commit(nowMs: number, done: Done = "batch"): void {
    // A receiver whose clock is ahead must not close everybody's windows.
    this.#newestRecvUs = Math.min(this.#newestRecvUs, nowMs * 1000);
    const clockUs = done === "batch" ? this.#newestRecvUs : nowMs * 1000;
    for (const event of this.#events) this.#settle(event, clockUs);
    for (const line of this.#aggregates.due(done === "end" ? Infinity : clockUs)) {
      this.#files.add("aggregates", line);
    }
    const lengths = this.#files.sync(nowMs);
    const aggregates = this.#aggregates.takeDirty();
    if (this.#moved.size === 0 && lengths.length === 0) return;
    if (this.#seen.forgottenHoles > 0) this.#count("forgotten_holes", this.#seen.forgottenHoles);
    this.#state.transaction(() => {
      for (const [path, length] of lengths) this.#state.saveOutput(path, length);
      for (const { aggregate, newDevices } of aggregates) {
        this.#state.aggregates.save(aggregate, newDevices);
      }
      // While there is more to read, events of any age may come.
      if (done === "all") this.#state.aggregates.keepFrom(this.#aggregates.oldestStartUs(clockUs));
      this.#saveBatch();
    });
    this.#forgetBatch();
  }

  #block(read: Read, block: Block, stored?: StoredLines): void {
    const { header } = block;
    const key = streamKey(header);
    if (believable(block) && this.#seen.covers(key, header)) {
      return this.#count("resent_records", header.count);
    }
    let [firstUsec, lastUsec, added] = [Infinity, 0, 0];
    forEachRecord(block.text, (record, offset) => {
      firstUsec = Math.min(firstUsec, record.usec);
      lastUsec = Math.max(lastUsec, record.usec);
      if (record.flag === "s") this.#sync(header, record);
      else if (record.flag === "g") this.#gap(read, block, record, offset);
      else if (!this.#seen.add(key, record.seq)) this.#count("resent_records");
      else if (++added && !this.#isKnown(header, record, stored)) {
        this.#ordinary(read, block, record, offset);
      }
    }, () => this.#count("bad_records"));
    this.#clocks.received(header, lastUsec);
    const ofKernel = header.source === "kmsg" && !mayRecover(header);
    if (ofKernel && added > 0) this.tails.note(read, header, firstUsec, lastUsec);
  }

  /** Whether a record that is new in its stream has been counted in another: see recovered.ts. */
  #isKnown(header: BlockHeader, record: LogRecord, stored: StoredLines | undefined): boolean {
    const boot = clockKey(header);
    if (record.flag === "p" && mayRecover(header)) {
      if (!stored) throw new Error("last words are taken without what is stored of their boot");
      if (this.#recovered.add(boot, streamKey(header), record, stored)) return false;
      this.#count("recovered_stored_records");
      return true;
    }
    if (header.source !== "kmsg") return false;
    // Last words may stand behind it in the same frame.
    if (stored) countLines(stored, record);
    if (!this.#recovered.claim(boot, record)) return false;
    this.#count("stored_recovered_records");
    return true;
  }

  #raw(read: Read, block: Block): void {
    forEachRawLine(block.text, (record, offset) => this.#ordinary(read, block, record, offset));
  }

  #ordinary(read: Read, block: Block, record: LogRecord, line: number): void {
    this.#count("records");
    for (const { rule, ...extracted } of this.matcher.match(record)) {
      this.#event(read, block, record, line, { rule: rule.name, by: rule, ...extracted });
    }
  }

  #sync(header: BlockHeader, record: LogRecord): void {
    const sync = parseSync(record);
    if (sync) this.#clocks.sync(header, record.usec, sync);
    else this.#count("bad_records");
  }

  #gap(read: Read, block: Block, record: LogRecord, line: number): void {
    const { header } = block;
    const said = parseGap(record);
    if (!said) return this.#count("bad_records");
    const gap = { ...said, cause: asLabel(said.cause) as Gap["cause"] };
    const key = streamKey(header);
    const id = `${key} ${record.seq} ${record.usec} ${gap.cause} ${gap.count}`;
    if (this.#gaps.has(id) || this.#state.hasGap(key, record, gap)) return;
    this.#gaps.set(id, { key, header, record, gap });
    this.#seen.explain(key, gap);
    const labels = { cause: gap.cause };
    this.#event(read, block, record, line, { rule: "gap", labels, value: gap.count });
  }

  #event(
    read: Read,
    { header, offset }: Block,
    record: LogRecord,
    line: number,
    found: Pick<PendingEvent, "rule" | "labels" | "value"> & { by?: Rule },
  ): void {
    const segment = `${epochKey(read)}/${String(read.segment).padStart(8, "0")}`;
    const place = { segment, offset: read.offset, line: offset + line };
    const time = this.#clocks.syncedTime(header, record.usec);
    this.#events.push({ ...found, header, record, place, time });
    this.pendingBytes += record.text.length + limits.eventBytes;
  }

  /** An event's time is fixed here at the latest, by all that its batch said of its boot's clock. */
  #settle(event: Waiting, clockUs: number): void {
    const { header, record, by, value } = event;
    const time = event.time ?? this.#clocks.wallTime(header, record.usec);
    if (this.options.keeps?.(time.wallUs) === false) return;
    this.#files.add("events", formatEvent(event, time));
    if (!by) return;
    const own = this.options.labelsOf(header.device);
    const labels = { ...event.labels };
    for (const name of by.device) labels[name] = own[name] ?? "";
    const counted = { rule: by, labels, value, device: header.device, wallUs: time.wallUs };
    if (!this.#aggregates.add(counted, clockUs)) this.#count("too_late_events");
  }

  #count(name: string, more = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + more);
  }

  #saveBatch(): void {
    this.#state.saveNewestRecvUs(this.#newestRecvUs);
    for (const key of this.#moved) this.#state.saveCursor(key, this.cursors.get(key)!);
    for (const [key, seen] of this.#seen.changed()) this.#state.saveStream(key, seen);
    const { recovered } = this.#state;
    for (const stretch of this.tails.added()) recovered.savePlaces(stretch);
    for (const line of this.#recovered.changed()) recovered.save(line, this.#newestRecvUs);
    recovered.forgetBefore(this.#newestRecvUs - limits.tailMsMax * 1000);
    for (const [key, fit] of this.#clocks.changed()) this.#state.saveClock(key, fit);
    for (const { key, header, record, gap } of this.#gaps.values()) {
      this.#state.saveGap(key, header, record, gap);
    }
    for (const read of this.#damage) this.#state.saveDamage(read);
    for (const [name, more] of this.#counts) this.#state.addCounter(name, more);
  }

  #forgetBatch(): void {
    this.#moved.clear();
    this.#seen.saved();
    this.#clocks.saved();
    this.tails.saved();
    this.#recovered.saved();
    this.#events = [];
    this.#gaps.clear();
    this.#damage = [];
    this.#counts.clear();
    this.pendingBytes = 0;
  }
}
