/**
 * A store as a fleet leaves it: seeded devices, what each says in the article's pace (579 bytes a
 * second), sent in blocks of `blockBytes` of text, in order of arrival, in frames as a receiver commits
 * them; with the clock records of each device. Same numbers, same bytes.
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { type BlockHeader, formatBlockHeader } from "../../shared/block.ts";
import { escapeText, formatRecord, syncRecord } from "../../shared/record.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { type LogLine, LogText } from "../../tests/fleet/text.ts";

export interface CorpusOptions {
  devices: number;
  /** Bytes of records altogether; headers come on top. */
  textBytes: number;
  /** What a device gathers before it sends. */
  blockBytes: number;
  /** When the first block is received. */
  startUs: number;
  /** A file whose lines are said in the place of the simulator's. */
  corpus?: string | undefined;
}

/** Of one device, in the article's fleet. */
const bytesPerSecond = 579;
const syncEveryUs = 30e6;
/** Between two lines that belong together: see tests/fleet/device.ts. */
const burstGapUs = 300;
const burstShare = 0.35;
/** On its way to the receiver. */
const wayUs = 60_000;
/** Bytes that a record has, on average: what the pace is reckoned by. */
const recordBytes = 95;

export interface CorpusFrame {
  text: Buffer;
  recvUs: number;
}

/** Frames of at most a MiB. */
export function* corpusFrames(options: CorpusOptions): Generator<CorpusFrame> {
  const { devices, textBytes, blockBytes, startUs } = options;
  const lines = options.corpus === undefined ? undefined : fileLines(options.corpus);
  const all = Array.from({ length: devices }, (_, i) => new Device(i, startUs, lines?.(i)));
  const roundUs = blockBytes / bytesPerSecond * 1e6;
  const random = seededRandom(4711);
  let blocks: string[] = [];
  let held = 0;
  let made = 0;
  for (let n = 0; made < textBytes; n++) {
    const device = all[n % devices]!;
    const recvUs = Math.round(startUs + (n + random()) * roundUs / devices);
    const block = device.block(recvUs, blockBytes);
    if (held + block.length > 1_000_000) {
      yield { text: Buffer.from(blocks.join(""), "latin1"), recvUs };
      [blocks, held] = [[], 0];
    }
    blocks.push(block);
    held += block.length;
    made += block.length;
  }
  yield { text: Buffer.from(blocks.join(""), "latin1"), recvUs: 0 };
}

class Device {
  readonly #name: string;
  readonly #boot: string;
  readonly #text: LogText;
  readonly #random: () => number;
  readonly #bootUs: number;
  #seq = 0;
  #usec: number;
  #syncUs = 0;

  constructor(i: number, startUs: number, private readonly lines: (() => LogLine) | undefined) {
    this.#name = `router${i}`;
    this.#random = seededRandom(i + 1);
    this.#text = new LogText(seededRandom(~i), this.#name);
    const hex = Math.floor(this.#random() * 2 ** 48).toString(16).padStart(12, "0");
    this.#boot = `0b5f0a4e-9a8c-4f6d-8e2b-${hex}`;
    this.#usec = Math.floor(this.#random() * 1e12);
    this.#bootUs = startUs - this.#usec;
  }

  block(recvUs: number, bytes: number): string {
    const first = this.#seq;
    let records = "";
    const now = recvUs - wayUs - this.#bootUs;
    const gapUs = Math.max(1, (now - this.#usec) * recordBytes / bytes);
    while (records.length < bytes) {
      const burst = this.#random() < burstShare;
      const gap = burst ? burstGapUs * this.#random() : -Math.log(1 - this.#random()) * gapUs;
      this.#usec = Math.max(this.#usec, Math.min(now, this.#usec + Math.ceil(gap)));
      records += this.#record();
    }
    records += this.#sync(now);
    const header: BlockHeader = {
      device: this.#name,
      boot: this.#boot,
      source: "kmsg",
      stream: this.#boot,
      recvUs,
      first,
      last: this.#seq - 1,
      count: this.#seq - first,
    };
    return formatBlockHeader(header) + records;
  }

  #record(): string {
    const { prio, text, more } = this.lines?.() ?? this.#text.next();
    const seq = this.#seq++;
    return formatRecord({
      prio,
      seq,
      usec: this.#usec,
      flag: "-",
      fields: "",
      text: escapeText(text),
      more,
    });
  }

  /** Made when it is sent. */
  #sync(now: number): string {
    if (now - this.#syncUs < syncEveryUs) return "";
    this.#syncUs = this.#usec = now;
    const sync = { wallUs: this.#bootUs + now, synced: true };
    return formatRecord(syncRecord(this.#seq, now, sync));
  }
}

/** Each device says the file's lines one after the other, from a place of its own on. */
function fileLines(path: string): (device: number) => () => LogLine {
  const lines = readFileSync(path, "utf8").split("\n").filter((line) => line !== "");
  return (device) => {
    let next = device * 7919;
    return () => ({ prio: 6, text: lines[next++ % lines.length]!.slice(0, 500), more: [] });
  };
}
