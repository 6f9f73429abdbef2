/**
 * Frames in, events and aggregates out, each exactly once. What `take` makes of them stays in memory;
 * `commit` writes and syncs the outputs, then saves everything in one transaction. A process that is
 * killed in between finds the state as it was at the last commit, and reads the rest again.
 */
import { limits } from "../shared/limits.ts";
import type { Read } from "../shared/segment_reader.ts";
import { type Cursor, epochKey, segmentPath } from "../shared/storage/storage.ts";
import { Aggregates } from "./aggregates.ts";
import type { BuiltIn } from "./built_in.ts";
import { BuiltInEvents } from "./built_in_events.ts";
import type { WallTime } from "./clock_fit.ts";
import { type DatedEvent, Dating } from "./dating.ts";
import { DayFiles } from "./day_files.ts";
import { withDeviceLabels } from "./device_labels.ts";
import type { FrameDigest } from "./engine/digest.ts";
import { slowDigest } from "./engine/slow_digest.ts";
import type { Kept } from "./facts.ts";
import type { IndexWriter } from "./index/index_writer.ts";
import { Intake } from "./intake.ts";
import type { Matcher } from "./match.ts";
import type { StoredLines } from "./recovered.ts";
import type { State } from "./state.ts";
import type { Tails } from "./tails.ts";

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
  /** Told of what is read and committed: which devices are in which frames. */
  index?: Pick<IndexWriter, "take" | "block" | "commit">;
  /** Whether an event of this wall time counts; the others are as if their rule had not matched. */
  keeps?: (wallUs: number) => boolean;
}

/**
 * What has been done at a commit: a `batch` was read and there may be more, `all` that is there was
 * read, or this is the `end`. Windows are closed by the newest receive time, by the wall clock, or at once.
 */
export type Done = "batch" | "all" | "end";

export class Grind {
  /** Where reading stands, uncommitted steps included. */
  readonly cursors: Map<string, Cursor>;
  matcher: Matcher;
  readonly #state: State;
  readonly #files: DayFiles;
  readonly #intake: Intake;
  /** The clocks of boots, and what no line says. */
  readonly builtIn: BuiltInEvents;
  readonly #dating: Dating;
  readonly #aggregates: Aggregates;
  readonly #moved = new Set<string>();
  #damage: Read[] = [];
  #counts = new Map<string, number>();
  /** Text that was taken in since the last commit. */
  #textBytes = 0;
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
    this.#savedOnceUs = state.onceUs();
    this.#files = new DayFiles(out, state.outputs());
    state.streams.catchUp();
    this.builtIn = new BuiltInEvents(state.facts, options.builtIn);
    const write = (event: DatedEvent, time: WallTime) => this.#write(event, time);
    this.#dating = new Dating(state.facts, this.builtIn.clocks, write);
    this.#aggregates = new Aggregates(windowUs, state.aggregates, warn);
    const { builtIn } = this;
    const count = (name: string, more?: number) => this.#count(name, more);
    this.#intake = new Intake({ ...options, builtIn, dating: this.#dating, count });
  }

  get tails(): Tails {
    return this.#intake.tails;
  }

  /** What has been taken in since the last commit, and what it will take to write it. */
  get pendingBytes(): number {
    return this.#textBytes + this.#intake.eventBytes;
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
    this.options.index?.take(read);
    this.#textBytes += read.frame?.textBytes ?? read.text?.length ?? 0;
    if (digest.badBlocks > 0) this.#count("bad_blocks", digest.badBlocks);
    this.#intake.frame(read, textOf);
    for (const block of digest.blocks) this.#intake.block(block, stored);
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
    const intake = this.#intake;
    intake.newestRecvUs = Math.min(intake.newestRecvUs, nowMs * 1000);
    const clockUs = done === "batch" ? intake.newestRecvUs : nowMs * 1000;
    if (done !== "batch") this.#look(nowMs * 1000, done);
    this.#aggregates.schedule(clockUs);
    for (const line of this.#aggregates.due(done === "end" ? Infinity : clockUs)) {
      this.#files.add("aggregates", line);
    }
    const lengths = this.#files.sync(nowMs);
    const aggregates = this.#aggregates.takeDirty();
    if (done === "end") this.#onceUs = 0;
    const isSame = this.#onceUs === this.#savedOnceUs;
    if (this.#moved.size === 0 && lengths.length === 0 && isSame) return;
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
    this.options.index?.commit();
  }

  /** What is known of devices by now, all that is stored having been read. */
  #look(nowUs: number, done: Exclude<Done, "batch">): void {
    this.#dating.look(done === "end" ? Infinity : nowUs);
    for (const event of this.builtIn.look(nowUs)) this.#intake.say(event);
  }

  #write({ device, parts, counted }: DatedEvent, time: WallTime): void {
    const { wallUs } = time;
    if (this.options.keeps?.(wallUs) === false) return;
    this.#files.addEvent(parts, time);
    if (!counted) return;
    const { value } = counted;
    const own = this.options.labelsOf(device);
    const labels = withDeviceLabels(counted.labels, counted.device, own);
    const added = { rule: parts.rule, labels, value, device, wallUs };
    if (!this.#aggregates.add(added)) this.#count("too_late_events");
  }

  #count(name: string, more = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + more);
  }

  #saveBatch(): void {
    const { newestRecvUs } = this.#intake;
    this.#state.saveNewestRecvUs(newestRecvUs);
    this.#state.saveOnceUs(this.#onceUs);
    if (newestRecvUs >= this.#sweptUs + limits.sweepMs * 1000) {
      this.#sweptUs = newestRecvUs;
      this.#state.forgetBefore(newestRecvUs - limits.streamAgeMsMax * 1000);
    }
    for (const key of this.#moved) this.#state.saveCursor(key, this.cursors.get(key)!);
    this.#intake.save();
    const { facts } = this.#state;
    for (const kept of this.#kept()) facts.save(kept, newestRecvUs);
    facts.forgetBefore(this.builtIn.clocks.kind, newestRecvUs - limits.clockAgeMsMax * 1000);
    for (const read of this.#damage) this.#state.saveDamage(read);
    for (const [name, more] of this.#counts) this.#state.addCounter(name, more);
  }

  #kept(): Kept[] {
    return [...this.builtIn.kept, this.#dating.kept];
  }

  #forgetBatch(): void {
    this.#moved.clear();
    this.#intake.saved();
    for (const kept of this.#kept()) kept.saved();
    this.#damage = [];
    this.#counts.clear();
    this.#savedOnceUs = this.#onceUs;
    this.#textBytes = 0;
  }
}
