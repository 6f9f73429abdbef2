/** What the grinder's tests need: blocks as text, receivers that store them, and the outputs read back. */
import { Buffer } from "node:buffer";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type BlockHeader, formatBlockHeader } from "../shared/block.ts";
import { CommitQueue } from "../shared/commit_queue.ts";
import {
  forEachRecord,
  formatRecord,
  type Gap,
  gapRecord,
  isMeta,
  syncRecord,
} from "../shared/record.ts";
import { readNew } from "../shared/segment_reader.ts";
import { type FolderOptions, FolderStorage } from "../shared/storage/folder.ts";
import type { EpochWriter, Storage } from "../shared/storage/storage.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { builtInEvents } from "./built_in.ts";
import { type Done, Grind } from "./grind.ts";
import { SlowMatcher } from "./match.ts";
import { withEndRules } from "./reboots.ts";
import { rule } from "./rule.ts";
import type { StreamSeen } from "./seen.ts";
import { State } from "./state.ts";

/** Receive time of blocks that don't say another. */
export const noonUs = Date.UTC(2026, 10, 22, 12) * 1000;
/** The grinder's clock: all that the tests store has been received long before. */
export const midnightMs = Date.UTC(2026, 10, 23);

export const linkRule = rule("link", /link (?<way>\w+) on (?<port>\w+)/, {
  labels: ["way"],
  device: ["city"],
  yes: ["link up on eth0"],
});
export const tookRule = rule("took", /took (?<ms>[\d.]+) ms/, {
  value: "ms",
  yes: ["took 3 ms"],
});
export const rules = [linkRule, tookRule];

/** Of built-in events there is none but `gap`. */
const silent = builtInEvents({ device_silent: false, reboot: false, clock_step: false });

/** An ordinary record, a second of the kernel clock for each seq. */
export function line(seq: number, text: string, usec = seq * 1e6): string {
  return `6,${seq},${usec},-;${text}\n`;
}

export function lines(first: number, last: number, text = "link up on eth0"): string {
  let all = "";
  for (let seq = first; seq <= last; seq++) all += line(seq, text);
  return all;
}

export function syncLine(seq: number, usec: number, wallUs: number, synced = true): string {
  return formatRecord(syncRecord(seq, usec, { wallUs, synced }));
}

export function gapLine(seq: number, usec: number, gap: Gap): string {
  return formatRecord(gapRecord(seq, usec, gap));
}

export function header(given: Partial<BlockHeader> = {}): BlockHeader {
  const names = { device: "d1", boot: "b1", source: "kmsg", stream: "b1" };
  return { ...names, recvUs: noonUs, first: 0, last: 0, count: 0, ...given };
}

/** A block whose header tells the truth, as far as it isn't given. */
export function block(records: string, given: Partial<BlockHeader> = {}): string {
  const seqs: number[] = [];
  forEachRecord(records, ({ seq, flag }) => isMeta(flag) || seqs.push(seq), () => {});
  const truth = seqs.length === 0
    ? {}
    : { first: Math.min(...seqs), last: Math.max(...seqs), count: seqs.length };
  return formatBlockHeader(header({ ...truth, ...given })) + records;
}

/** One process of a receiver. */
export class TestReceiver {
  readonly queue: CommitQueue;

  constructor(readonly epoch: EpochWriter) {
    let nowMs = 0;
    this.queue = new CommitQueue(epoch, { now: () => nowMs += 1000, sleep: async () => {} });
  }

  /** All in one commit: one frame, as long as they fit. */
  async store(...blocks: string[]): Promise<void> {
    await Promise.all(blocks.map((text) => this.queue.append(Buffer.from(text, "latin1"))));
  }
}

export interface EventLine {
  rule: string;
  time: string;
  time_error_us: number;
  device: string;
  boot: string;
  source: string;
  stream: string;
  seq: number;
  usec: number;
  labels: Record<string, string>;
  value?: number;
  text: string;
  segment: string;
  offset: number;
  line: number;
}

export interface AggregateLine {
  window: string;
  rule: string;
  labels: Record<string, string>;
  rev: number;
  count: number;
  devices: number;
  first: string;
  last: string;
  sum?: number;
}

function cityOf(device: string): Record<string, string> {
  return device === "d1" ? { city: "bern" } : {};
}

/** A storage and the grinder's outputs, in one folder of the test's own. */
export class Mill implements AsyncDisposable {
  readonly folder = new TemporaryFolder();
  readonly storage: FolderStorage;
  out: string;
  readonly warnings: string[] = [];
  state!: State;
  grind!: Grind;
  /** Killed ones as well: their files are open until the end. */
  readonly #receivers: TestReceiver[] = [];

  constructor(
    options: FolderOptions = {},
    private readonly builtIn = silent,
    private readonly labelsOf = cityOf,
  ) {
    this.storage = new FolderStorage(this.folder.path, options);
    this.out = join(this.folder.path, "out");
    this.open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.state.close();
    for (const { queue } of this.#receivers) await queue.close();
    this.folder[Symbol.dispose]();
  }

  open(): void {
    this.state = State.open(this.out, midnightMs, (text) => this.warnings.push(text));
    this.grind = this.newGrind(this.state);
  }

  /** As after a kill: what isn't committed is gone. */
  reopen(): void {
    this.state.close();
    this.open();
  }

  /** Grinds all again into a folder of its own. */
  beginAnew(name: string): void {
    this.state.close();
    this.out = join(this.folder.path, name);
    this.open();
  }

  newGrind(state: State): Grind {
    return new Grind({
      state,
      out: this.out,
      matcher: new SlowMatcher(withEndRules(rules)),
      windowUs: 60e6,
      builtIn: this.builtIn,
      labelsOf: this.labelsOf,
      warn: (text) => this.warnings.push(text),
    });
  }

  /** A receiver that starts. Its name may be in use already. */
  async receiver(name = "r1", storage: Storage = this.storage): Promise<TestReceiver> {
    const receiver = new TestReceiver(await storage.createEpoch(name));
    this.#receivers.push(receiver);
    return receiver;
  }

  /** Takes in all that can be read now, or the next `most` of it. */
  async take(most = Infinity): Promise<number> {
    let taken = 0;
    if (most === 0) return taken;
    for await (const read of readNew(this.storage, this.grind.cursors)) {
      this.grind.take(read, await this.grind.tails.storedLines(read, this.storage));
      if (++taken >= most) break;
    }
    return taken;
  }

  async grindAll(done: Done = "end"): Promise<void> {
    await this.take();
    this.grind.commit(midnightMs, done);
  }

  events(): EventLine[] {
    return readLines<EventLine>(join(this.out, "events"));
  }

  aggregates(): AggregateLine[] {
    return readLines<AggregateLine>(join(this.out, "aggregates"));
  }

  counters(): Record<string, number> {
    return this.state.counters();
  }

  /** What is saved of a stream. */
  stream(key: string): StreamSeen {
    this.state.streams.catchUp();
    return this.state.streams.load(key)!;
  }

  /** Seqs that are accounted for and not there, of a stream. */
  missing(key = "d1 kmsg b1"): string {
    const { stored, explained } = this.stream(key);
    return explained.subtract(stored).encode();
  }
}

/** The seqs of events, in order. */
export function seqsOf(events: EventLine[], rule = "link"): number[] {
  return events.filter((event) => event.rule === rule).map(({ seq }) => seq).sort((a, b) => a - b);
}

/** What counts of aggregates: for each window, rule and labels the highest rev. */
export function finalAggregates(all: AggregateLine[]): Map<string, AggregateLine> {
  const final = new Map<string, AggregateLine>();
  for (const aggregate of all) {
    const { window, rule, labels, rev } = aggregate;
    const key = `${window} ${rule} ${JSON.stringify(labels)}`;
    if (rev >= (final.get(key)?.rev ?? 0)) final.set(key, aggregate);
  }
  return final;
}

/** Lines of all files of a folder, in their order. A line that is torn throws. */
export function readLines<Line>(folder: string): Line[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).sort().flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8");
    if (text !== "" && !text.endsWith("\n")) {
      throw new Error(`${file} ends in the middle of a line`);
    }
    return text.split("\n").slice(0, -1).map((one) => JSON.parse(one) as Line);
  });
}
