/**
 * Frames in, events and aggregates out, each exactly once. What `take` was given is only gathered;
 * `commit` writes and syncs the outputs, then saves everything in one transaction. A process that is
 * killed in between finds the state as it was at the last commit, and reads the rest again.
 */
import { believable, type BlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import {
  forEachRecord,
  type Gap,
  type LogRecord,
  parseGap,
  parseRecord,
  parseSync,
  syncRecord,
} from "../shared/record.ts";
import type { Read } from "../shared/segment_reader.ts";
import { type Cursor, epochKey, segmentPath } from "../shared/storage/storage.ts";
import { Aggregates } from "./aggregates.ts";
import { type BlockNames, NameTable } from "./block_names.ts";
import type { BuiltIn, BuiltInEvent } from "./built_in.ts";
import { BuiltInEvents } from "./built_in_events.ts";
import { type DatedEvent, Dating, type UndatedEvent } from "./dating.ts";
import { DayFiles } from "./day_files.ts";
import type { BlockDigest, Find, FrameDigest, Sync } from "./engine/digest.ts";
import { slowDigest } from "./engine/slow_digest.ts";
import { framePart, joinEvent, type Place, recordPart } from "./event.ts";
import type { Kept } from "./facts.ts";
import type { Matcher } from "./match.ts";
import type { FramePlace } from "./place_list.ts";
import { countLines, Recovered, type StoredLines } from "./recovered.ts";
import { endOf } from "./reboots.ts";
import { asLabel } from "./rule.ts";
import { Seen, streamKey } from "./seen.ts";
import type { State } from "./state.ts";
import { Tails } from "./tails.ts";

export interface GrindOptions {
  state: State;
  /** Where `events/` and `aggregates/` are. */
  out: string;
  matcher: Matcher;
  windowUs: number;
  /** What is said of devices beside what their lines say. */
  builtIn: BuiltIn;
  /** A device's own labels, from the allow-list. */
  labelsOf: (device: string) => Record<string, string>;
  warn: (text: string) => void;
  /** Whether an event of this wall time counts; the others are as if their rule had not matched. */
  keeps?: (wallUs: number) => boolean;
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

/** A block, and where it stands. */
interface Placed {
  header: BlockHeader;
  frame: Frame;
  block: BlockDigest;
  names: BlockNames;
}

interface Frame {
  place: FramePlace;
  textOf: () => string;
  segment: Pick<Place, "segment" | "offset">;
  /** What an event's line says of it. */
  part: string;
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
  /** The clocks of boots, and what no line says. */
  readonly builtIn: BuiltInEvents;
  readonly #dating: Dating;
  readonly #aggregates: Aggregates;
  readonly tails: Tails;
  readonly #recovered: Recovered;
  readonly #names: NameTable;
  readonly #moved = new Set<string>();
  #gaps = new Map<string, PendingGap>();
  #damage: Read[] = [];
  #counts = new Map<string, number>();
  #records = 0;
  #newestRecvUs: number;
  /** When the run began that ends after what is there; 0: this is none. */
  #onceUs = 0;
  #savedOnceUs: number;
  /** The receive time at which old streams were forgotten last. */
  #sweptUs = 0;

  constructor(private readonly options: GrindOptions) {
    const { state, out, windowUs, warn } = options;
    this.#state = state;
    this.matcher = options.matcher;
    this.cursors = state.cursors();
    this.#newestRecvUs = state.newestRecvUs();
    this.#savedOnceUs = state.onceUs();
    this.#files = new DayFiles(out, state.outputs());
    state.streams.catchUp();
    this.#seen = new Seen(state.streams);
    this.#names = new NameTable(this.#seen);
    this.builtIn = new BuiltInEvents(state.facts, options.builtIn);
    this.#dating = new Dating(state.facts, this.builtIn.clocks);
    this.#aggregates = new Aggregates(windowUs, state.aggregates, warn);
    this.tails = new Tails((boot) => {
      const [device, stream] = boot.split(" ") as [string, string];
      return this.#seen.find(streamKey({ device, source: "kmsg", stream }))?.places;
    });
    this.#recovered = new Recovered(state.recovered);
  }

  /**
   * Takes in what was read; its effects are on disk after the next `commit`. `stored` is what
   * `tails.storedLines` says of this frame.
   */
  take(read: Read, stored?: Map<string, StoredLines>): void {
    const text = read.text ?? "";
    this.takeDigest(read, slowDigest(text, this.matcher), () => text, stored);
  }

  /** The same of a frame that has been digested elsewhere; `textOf` gives its text, if it is needed. */
  takeDigest(
    read: Read,
    digest: FrameDigest,
    textOf: () => string,
    stored?: Map<string, StoredLines>,
  ): void {
    this.#takeNote(read);
    this.pendingBytes += read.frame?.textBytes ?? read.text?.length ?? 0;
    if (digest.badBlocks > 0) this.#count("bad_blocks", digest.badBlocks);
    this.builtIn.frame(read.receiver);
    const segment = segmentOf(read);
    const frame: Frame = { place: placeOf(read), textOf, segment, part: framePart(segment) };
    for (const block of digest.blocks) {
      const names = this.#names.get(block);
      if (!names) this.#count("bad_blocks");
      else this.#block(frame, block, names, stored?.get(names.clockKey));
    }
  }

  #takeNote(read: Read): void {
    const key = epochKey(read);
    const missed = read.segment - (this.cursors.get(key)?.segment ?? read.segment);
    if (missed > 0) {
      this.#count("deleted_segments", missed);
      const lost = "what hasn't been read of them is lost";
      this.options.warn(`${segmentPath(read)}: ${missed} before it have been deleted: ${lost}`);
    }
    this.cursors.set(key, read.next);
    this.#moved.add(key);
    if (read.damage === undefined) return;
    this.#damage.push(read);
    this.#count("damaged_frames");
    const where = `${segmentPath(read)} at ${read.offset}`;
    this.options.warn(`${where}: ${read.length} bytes set aside: ${read.damage}`);
  }

  /**
   * The clock of a run that ends after what is there: it stands still from the run's beginning on, also
   * where that was killed and begins again. So what comes out doesn't depend on how long things take.
   */
  beginOnce(nowMs: number): number {
    this.#onceUs = this.#savedOnceUs || nowMs * 1000;
    return this.#onceUs / 1000;
  }

  /** Makes all of it durable. After an error a new Grind must be made, which begins at the last commit. */
  commit(nowMs: number, done: Done = "batch"): void {
    // A receiver whose clock is ahead must not close everybody's windows.
    this.#newestRecvUs = Math.min(this.#newestRecvUs, nowMs * 1000);
    const clockUs = done === "batch" ? this.#newestRecvUs : nowMs * 1000;
    if (done !== "batch") this.#look(nowMs * 1000, done);
    for (const event of this.#dating.take()) this.#write(event, clockUs);
    for (const line of this.#aggregates.due(done === "end" ? Infinity : clockUs)) {
      this.#files.add("aggregates", line);
    }
    const lengths = this.#files.sync(nowMs);
    const aggregates = this.#aggregates.takeDirty();
    if (done === "end") this.#onceUs = 0;
    const isSame = this.#onceUs === this.#savedOnceUs;
    if (this.#moved.size === 0 && lengths.length === 0 && isSame) return;
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

  /** What is known of devices by now, all that is stored having been read. */
  #look(nowUs: number, done: Exclude<Done, "batch">): void {
    this.#dating.look(done === "end" ? Infinity : nowUs);
    for (const event of this.builtIn.look(nowUs)) this.#say(event);
  }

  #say(event: BuiltInEvent): void {
    const { labels, by: { device }, header } = event;
    const own = this.options.labelsOf(header.device);
    this.#dating.addBuiltIn(event, withDeviceLabels(JSON.stringify(labels), device, own));
  }

  #block(frame: Frame, block: BlockDigest, names: BlockNames, stored?: StoredLines): void {
    if (block.recvUs > this.#newestRecvUs) this.#newestRecvUs = block.recvUs;
    const placed = { header: headerOf(names, block), frame, block, names };
    this.#heard(placed);
    if (block.kind === "raw") return this.#raw(placed);
    // Of a boot with last words each record is asked for.
    const isPlain = block.kind === "plain" && !stored && !this.#recovered.knows(names.clockKey);
    if (!isPlain) return this.#exact(placed, stored);
    const is = this.#seen.addRange(names.stream, block.first, block.last);
    if (is === "new") this.#plain(placed);
    else if (is === "seen") this.#count("resent_records", block.count);
    else this.#exact(placed, stored);
  }

  /** All records of it are new: only what the digest has of them matters. */
  #plain(placed: Placed): void {
    const { block, names, frame } = placed;
    const { finds, syncs } = block;
    if (finds.length > 0 || syncs.length > 0) this.#inOrder(placed);
    this.#records += block.count;
    if (names.isKernels) {
      this.#seen.place(names.stream, frame.place, block.firstUsec, block.lastUsec);
    }
  }

  /** What the clock syncs of a block say is for the finds behind them. */
  #inOrder(placed: Placed): void {
    const { finds, syncs } = placed.block;
    let synced = 0;
    for (const find of finds) {
      for (let sync; (sync = syncs[synced]) && sync.line < find.line; synced++) {
        this.#sync(placed, sync);
      }
      this.#found(placed, find);
    }
    for (const sync of syncs.slice(synced)) this.#sync(placed, sync);
  }

  /** Each block says that its device lives, one that came before too. */
  #heard({ header, block, names }: Placed): void {
    const lastUsec = block.kind === "exact" ? lastUsecOf(block.text ?? "") : block.lastUsec;
    if (names.slot === undefined) names.slot = this.builtIn.slotOf(names.device);
    this.builtIn.block(header, lastUsec, names.slot);
    this.#dating.heard(names.clockKey, this.builtIn.recvUs(header));
  }

  /** Lines without identity: each is new. */
  #raw(placed: Placed): void {
    this.#records += placed.block.count;
    for (const find of placed.block.finds) this.#found(placed, find);
  }

  /** Record by record. */
  #exact(placed: Placed, stored?: StoredLines): void {
    const { header, block, names, frame } = placed;
    const text = block.text ?? recordsAt(frame.textOf(), block.offset);
    const { stored: seen } = names.stream;
    if (believable({ header, text, offset: 0 }) && seen.covers(header.first, header.last)) {
      return this.#count("resent_records", header.count);
    }
    let firstUsec: number | undefined;
    let [lastUsec, added, nextFind] = [0, 0, 0];
    forEachRecord(text, (record, offset) => {
      firstUsec ??= record.usec;
      lastUsec = record.usec;
      const line = block.offset + offset;
      const from = nextFind;
      while (block.finds[nextFind]?.line === line) nextFind++;
      if (record.flag === "s") this.#syncRecord(placed, record, line);
      else if (record.flag === "g") this.#gap(placed, record, line);
      else if (!this.#seen.add(names.stream, record.seq)) this.#count("resent_records");
      else if (++added && !this.#isKnown(placed, record, stored)) {
        this.#records++;
        for (let i = from; i < nextFind; i++) this.#found(placed, block.finds[i]!);
      }
    }, () => this.#count("bad_records"));
    if (names.isKernels && added > 0) {
      this.#seen.place(names.stream, frame.place, firstUsec!, lastUsec);
    }
  }

  /** Whether a record that is new in its stream has been counted in another: see recovered.ts. */
  #isKnown({ names }: Placed, record: LogRecord, stored: StoredLines | undefined): boolean {
    if (record.flag === "p" && names.mayRecover) {
      if (!stored) throw new Error("last words are taken without what is stored of their boot");
      if (this.#recovered.add(names.clockKey, names.stream.key, record, stored)) return false;
      this.#count("recovered_stored_records");
      return true;
    }
    if (names.source !== "kmsg") return false;
    // Last words may stand behind it in the same frame.
    if (stored) countLines(stored, record);
    if (!this.#recovered.claim(names.clockKey, record)) return false;
    this.#count("stored_recovered_records");
    return true;
  }

  #syncRecord(placed: Placed, record: LogRecord, line: number): void {
    const sync = parseSync(record);
    if (sync) this.#sync(placed, { line, seq: record.seq, usec: record.usec, ...sync });
    else this.#count("bad_records");
  }

  #sync({ header, frame, names }: Placed, sync: Sync): void {
    const place = { ...frame.segment, line: sync.line };
    const record = syncRecord(sync.seq, sync.usec, sync);
    for (const event of this.builtIn.sync(header, record, place, sync)) this.#say(event);
    this.#dating.heard(names.clockKey, this.builtIn.recvUs(header));
  }

  #gap(placed: Placed, record: LogRecord, line: number): void {
    const { header, names: { stream } } = placed;
    const { key } = stream;
    const said = parseGap(record);
    if (!said) return this.#count("bad_records");
    const gap = { ...said, cause: asLabel(said.cause) as Gap["cause"] };
    const id = `${key} ${record.seq} ${record.usec} ${gap.cause} ${gap.count}`;
    if (this.#gaps.has(id) || this.#state.hasGap(key, record, gap)) return;
    this.#gaps.set(id, { key, header, record, gap });
    this.#seen.explain(stream, gap);
    const part = recordPart(record, { labels: { cause: gap.cause }, value: gap.count });
    this.#event(placed, "gap", { line, usec: record.usec, record: part });
  }

  #found(placed: Placed, find: Find): void {
    const { header } = placed;
    const { rule, usec } = find;
    const end = endOf.get(rule);
    if (end) return this.builtIn.ended(header, usec, end);
    this.builtIn.matched(header, usec, rule.name);
    this.#event(placed, rule.name, find, find);
  }

  #event(
    { frame, names, block }: Placed,
    rule: string,
    { line, usec, record }: Pick<Find, "line" | "usec" | "record">,
    find?: Find,
  ): void {
    const { device, boot, part, mayRecover } = names;
    const parts = { rule, names: part, record, recvUs: block.recvUs, frame: frame.part, line };
    const counted = find && { labels: find.labels, value: find.value, device: find.rule.device };
    const recvUs = this.builtIn.recvUs(block);
    const event: UndatedEvent = { device, boot, usec, recvUs, parts };
    if (counted) event.counted = counted;
    this.#dating.add(event, mayRecover);
    this.pendingBytes += record.length + limits.eventBytes;
  }

  #write({ event: { device, parts, counted }, time }: DatedEvent, clockUs: number): void {
    const { wallUs } = time;
    if (this.options.keeps?.(wallUs) === false) return;
    this.#files.add("events", joinEvent(parts, time));
    if (!counted) return;
    const { value } = counted;
    const own = this.options.labelsOf(device);
    const labels = withDeviceLabels(counted.labels, counted.device, own);
    const added = { rule: parts.rule, labels, value, device, wallUs };
    if (!this.#aggregates.add(added, clockUs)) this.#count("too_late_events");
  }

  #count(name: string, more = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + more);
  }

  #saveBatch(): void {
    this.#state.saveNewestRecvUs(this.#newestRecvUs);
    this.#state.saveOnceUs(this.#onceUs);
    if (this.#newestRecvUs >= this.#sweptUs + limits.sweepMs * 1000) {
      this.#sweptUs = this.#newestRecvUs;
      this.#state.forgetBefore(this.#newestRecvUs - limits.streamAgeMsMax * 1000);
    }
    for (const key of this.#moved) this.#state.saveCursor(key, this.cursors.get(key)!);
    const { batch, due } = this.#seen.toSave();
    this.#state.streams.save(batch, due, this.#newestRecvUs);
    const { recovered } = this.#state;
    for (const line of this.#recovered.changed()) recovered.save(line, this.#newestRecvUs);
    recovered.forgetBefore(this.#newestRecvUs - limits.tailMsMax * 1000);
    const { facts } = this.#state;
    for (const kept of this.#kept()) facts.save(kept, this.#newestRecvUs);
    facts.forgetBefore(this.builtIn.clocks.kind, this.#newestRecvUs - limits.clockAgeMsMax * 1000);
    for (const { key, header, record, gap } of this.#gaps.values()) {
      this.#state.saveGap(key, header, record, gap);
    }
    for (const read of this.#damage) this.#state.saveDamage(read);
    if (this.#records > 0) this.#count("records", this.#records);
    for (const [name, more] of this.#counts) this.#state.addCounter(name, more);
  }

  #kept(): Kept[] {
    return [...this.builtIn.kept, this.#dating.kept];
  }

  #forgetBatch(): void {
    this.#moved.clear();
    if (this.#seen.saved()) this.#names.clear();
    for (const kept of this.#kept()) kept.saved();
    this.#recovered.saved();
    this.#gaps.clear();
    this.#damage = [];
    this.#counts.clear();
    this.#records = 0;
    this.#savedOnceUs = this.#onceUs;
    this.pendingBytes = 0;
  }
}

function headerOf(
  { device, boot, source, streamName: stream }: BlockNames,
  { recvUs, first, last, count }: Pick<BlockHeader, "recvUs" | "first" | "last" | "count">,
): BlockHeader {
  return { device, boot, source, stream, recvUs, first, last, count };
}

function placeOf({ receiver, epoch, segment, offset, length }: Read): FramePlace {
  return { receiver, epoch, segment, offset, length };
}

function segmentOf(read: Read): { segment: string; offset: number } {
  const { offset } = read;
  return { segment: `${epochKey(read)}/${String(read.segment).padStart(8, "0")}`, offset };
}

/** The records of a block in a frame's text, from where they begin. */
function recordsAt(text: string, offset: number): string {
  const next = text.indexOf("\n#", offset - 1);
  return text.slice(offset, next < 0 ? text.length : next + 1);
}

/** The usec of the last record; 0 if there is none. */
function lastUsecOf(text: string): number {
  for (let end = text.length - 1; end > 0;) {
    const start = text.lastIndexOf("\n", end - 1) + 1;
    const record = parseRecord(text.slice(start, end));
    if (record) return record.usec;
    end = start - 1;
  }
  return 0;
}

/** JSON of a rule's labels, with those of the device that the rule takes. */
function withDeviceLabels(
  labels: string,
  names: readonly string[],
  own: Record<string, string>,
): string {
  if (names.length === 0) return labels;
  const more = names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(own[name] ?? "")}`);
  return labels === "{}" ? `{${more.join(",")}}` : `${labels.slice(0, -1)},${more.join(",")}}`;
}
