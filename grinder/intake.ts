/**
 * Blocks in, what is new in them out: each is checked against what has been seen, and its events go on to
 * be dated. All of it is in memory until `save`.
 */
import { believable, type BlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { forEachRecord, type Gap, type LogRecord, parseGap, parseSync } from "../shared/record.ts";
import type { Read } from "../shared/segment_reader.ts";
import { NameTable } from "./block_names.ts";
import type { BuiltInEvent } from "./built_in.ts";
import type { BuiltInEvents } from "./built_in_events.ts";
import type { Dating, UndatedEvent } from "./dating.ts";
import { withDeviceLabels } from "./device_labels.ts";
import type { BlockDigest, Find, Sync } from "./engine/digest.ts";
import { recordPart } from "./event.ts";
import type { IndexWriter } from "./index/index_writer.ts";
import { type Frame, frameOf, headerOf, lastUsecOf, type Placed, recordsAt } from "./placed.ts";
import { endOf } from "./reboots.ts";
import { countLines, Recovered, type StoredLines } from "./recovered.ts";
import { asLabel } from "./rule.ts";
import { Seen, streamKey } from "./seen.ts";
import type { State } from "./state.ts";
import { Tails } from "./tails.ts";

interface PendingGap {
  key: string;
  header: BlockHeader;
  record: LogRecord;
  gap: Gap;
}

export interface IntakeOptions {
  state: State;
  builtIn: BuiltInEvents;
  dating: Dating;
  /** Told which device is in which frame. */
  index?: Pick<IndexWriter, "block">;
  /** A device's own labels. */
  labelsOf: (device: string) => Record<string, string>;
  /** Adds to a counter. */
  count: (name: string, more?: number) => void;
}

export class Intake {
  readonly tails: Tails;
  newestRecvUs: number;
  /** New ones, since the last `saved`. */
  records = 0;
  /** What it will take to write the events of this batch. */
  eventBytes = 0;
  readonly builtIn: BuiltInEvents;
  readonly #seen: Seen;
  readonly #recovered: Recovered;
  readonly #names: NameTable;
  readonly #gaps = new Map<string, PendingGap>();
  #frame: Frame | undefined;

  constructor(private readonly options: IntakeOptions) {
    const { state, builtIn } = options;
    this.builtIn = builtIn;
    this.newestRecvUs = state.newestRecvUs();
    this.#seen = new Seen(state.streams);
    this.#names = new NameTable(this.#seen);
    this.#recovered = new Recovered(state.recovered);
    this.tails = new Tails((boot) => {
      const [device, stream] = boot.split(" ") as [string, string];
      return this.#seen.find(streamKey({ device, source: "kmsg", stream }))?.places;
    });
  }

  /** The frame whose blocks come next. */
  frame(read: Read, textOf: () => string): void {
    this.builtIn.frame(read.receiver);
    this.#frame = frameOf(read, textOf);
  }

  /** `storedOf` is what `tails.storedLines` says of this frame, by boot. */
  block(block: BlockDigest, storedOf: ReadonlyMap<string, StoredLines> | undefined): void {
    const names = this.#names.get(block);
    if (!names) return this.#count("bad_blocks");
    const frame = this.#frame!;
    const usec = block.kind === "plain" ? block.firstUsec : 0;
    this.options.index?.block(names, block.recvUs, usec);
    const stored = storedOf?.get(names.clockKey);
    if (block.recvUs > this.newestRecvUs) this.newestRecvUs = block.recvUs;
    const placed = { header: headerOf(names, block), frame, block, names };
    this.#heard(placed);
    if (block.kind === "raw") return this.#raw(placed);
    // Of a boot with last words each record is asked for.
    const isPlain = block.kind === "plain" && !stored && !this.#recovered.knows(names.clockKey);
    if (!isPlain) return this.#exact(placed, stored);
    const place = names.isKernels ? frame.place : undefined;
    const { first, last, firstUsec, lastUsec } = block;
    if (this.#seen.goesOn(names.stream, first, last, place, firstUsec, lastUsec)) {
      return this.#plain(placed);
    }
    const is = this.#seen.addRange(names.stream, first, last);
    if (is === "new") {
      this.#plain(placed);
      if (place) this.#seen.place(names.stream, place, firstUsec, lastUsec);
    } else if (is === "seen") this.#count("resent_records", block.count);
    else this.#exact(placed, stored);
  }

  /** All records of it are new: only what the digest has of them matters. */
  #plain(placed: Placed): void {
    const { finds, syncs, count } = placed.block;
    if (finds.length > 0 || syncs.length > 0) this.#inOrder(placed);
    this.records += count;
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
    this.options.dating.heard(names.clockKey, this.builtIn.recvUs(header));
  }

  /** Lines without identity: each is new. */
  #raw(placed: Placed): void {
    this.records += placed.block.count;
    for (const find of placed.block.finds) this.#found(placed, find);
  }

  /** Record by record. */
  #exact(placed: Placed, stored?: StoredLines): void {
    const { header, block, names, frame } = placed;
    const text = block.text ?? recordsAt(frame.textOf(), block.offset);
    this.#seen.settle();
    const { stored: seen } = names.stream;
    if (believable({ header, text, offset: 0 }) && seen.covers(header.first, header.last)) {
      return this.#count("resent_records", header.count);
    }
    let [firstUsec, lastUsec, added, nextFind] = [Infinity, 0, 0, 0];
    forEachRecord(text, (record, offset) => {
      firstUsec = Math.min(firstUsec, record.usec);
      lastUsec = Math.max(lastUsec, record.usec);
      const line = block.offset + offset;
      const from = nextFind;
      while (block.finds[nextFind]?.line === line) nextFind++;
      if (record.flag === "s") this.#syncRecord(placed, record, line);
      else if (record.flag === "g") this.#gap(placed, record, line);
      else if (!this.#seen.add(names.stream, record.seq)) this.#count("resent_records");
      else if (++added && !this.#isKnown(placed, record, stored)) {
        this.records++;
        for (let i = from; i < nextFind; i++) this.#found(placed, block.finds[i]!);
      }
    }, () => this.#count("bad_records"));
    if (names.isKernels && added > 0) {
      this.#seen.place(names.stream, frame.place, firstUsec, lastUsec);
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
    const placeOf = () => ({ ...frame.segment, line: sync.line });
    for (const event of this.builtIn.sync(header, sync, placeOf, names)) this.say(event);
    this.options.dating.heard(names.clockKey, this.builtIn.recvUs(header));
  }

  #gap(placed: Placed, record: LogRecord, line: number): void {
    const { header, names: { stream } } = placed;
    const { key } = stream;
    const said = parseGap(record);
    if (!said) return this.#count("bad_records");
    const gap = { ...said, cause: asLabel(said.cause) as Gap["cause"] };
    const id = `${key} ${record.seq} ${record.usec} ${gap.cause} ${gap.count}`;
    if (this.#gaps.has(id) || this.options.state.hasGap(key, record, gap)) return;
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

  say(event: BuiltInEvent): void {
    const { labels, by: { device }, header } = event;
    const own = this.options.labelsOf(header.device);
    this.options.dating.addBuiltIn(event, withDeviceLabels(JSON.stringify(labels), device, own));
  }

  #event(
    { frame, names, block }: Placed,
    rule: string,
    { line, usec, record, recordBytes }: Pick<Find, "line" | "usec" | "record" | "recordBytes">,
    find?: Find,
  ): void {
    const { device, boot, part, partBytes, mayRecover } = names;
    const bytes = recordBytes &&
      { names: partBytes, record: recordBytes, frame: frame.partBytes };
    const { recvUs: receivedUs } = block;
    const parts = { rule, names: part, record, recvUs: receivedUs, frame: frame.part, line, bytes };
    const counted = find && { labels: find.labels, value: find.value, device: find.rule.device };
    const recvUs = this.builtIn.recvUs(block);
    const event: UndatedEvent = { device, boot, usec, recvUs, parts };
    if (counted) event.counted = counted;
    this.options.dating.add(event, names, mayRecover);
    this.eventBytes += record.length + limits.eventBytes;
  }

  /** Inside of the batch's transaction. */
  save(): void {
    const { state } = this.options;
    const { batch, due } = this.#seen.toSave();
    state.streams.save(batch, due, this.newestRecvUs);
    for (const line of this.#recovered.changed()) state.recovered.save(line, this.newestRecvUs);
    state.recovered.forgetBefore(this.newestRecvUs - limits.tailMsMax * 1000);
    for (const { key, header, record, gap } of this.#gaps.values()) {
      state.saveGap(key, header, record, gap);
    }
    if (this.#seen.forgottenHoles > 0) this.#count("forgotten_holes", this.#seen.forgottenHoles);
    if (this.records > 0) this.#count("records", this.records);
  }

  /** All of it is durable. */
  saved(): void {
    if (this.#seen.saved()) this.#names.clear();
    this.#recovered.saved();
    this.#gaps.clear();
    this.records = 0;
    this.eventBytes = 0;
  }

  #count(name: string, more = 1): void {
    this.options.count(name, more);
  }
}
