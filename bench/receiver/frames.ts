/**
 * A rate of log text in; upload frames out, as chunks of an HTTP body. There is one long text, and each
 * device begins at another place of it: a frame is compressed once and sent by all devices that come
 * past it, so that the generator's cost is writing it; yet what arrives at a time is all different, or
 * the receiver would compress it too well and too fast.
 */
import { Buffer } from "node:buffer";
import { formatUploadHeader } from "../../shared/block.ts";
import { escapeText, formatRecord } from "../../shared/record.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { LogText } from "../../tests/fleet/text.ts";

export interface ChunkedFrame {
  /** The compressed frame between a chunk's length and its end. */
  chunk: Uint8Array;
  /** Of text, with its `#0` line: the unit of acknowledgements. */
  decodedBytes: number;
  compressedBytes: number;
  records: number;
}

/** Enough that hardly anything is twice in one frame of a segment; more would only take memory. */
const textBytes = 32 * 1024 * 1024;

/** Units at which devices begin, so that together they say so much. */
export function placesOf(bytesPerSecond: number, unitMs: number): number {
  return Math.max(1, Math.floor(textBytes / (bytesPerSecond * unitMs / 1000)));
}

/** So much text is of one simulated router, with its own addresses; then comes another. */
const routerBytes = 64 * 1024;

export class LogFrames {
  #text: LogText | undefined;
  #router = -1;
  readonly #lines: string[] = [];
  /** Bytes of text up to the end of each line. */
  #bytes = 0;
  /** The number of lines before each unit; a unit may have none. */
  readonly #unitStart = [0];
  readonly #frames = new Map<string, ChunkedFrame>();

  /** A unit is what a device says in the shortest time between two frames. */
  constructor(private readonly bytesPerSecond: number, private readonly unitMs: number) {}

  /** Units `from` to `to` - 1 in one frame; undefined where nothing was said. */
  frame(from: number, to: number): ChunkedFrame | undefined {
    const key = `${from}-${to}`;
    const known = this.#frames.get(key);
    if (known) return known;
    const [first, end] = [this.linesBefore(from), this.linesBefore(to)];
    if (first === end) return undefined;
    const frame = this.#make(first, end);
    this.#frames.set(key, frame);
    return frame;
  }

  /** Text to compressed bytes of these units, each in a frame of its own; they are made with it. */
  compression(from: number, to: number): number {
    let [text, compressed] = [0, 0];
    for (let unit = from; unit < to; unit++) {
      const frame = this.frame(unit, unit + 1);
      text += frame?.decodedBytes ?? 0;
      compressed += frame?.compressedBytes ?? 0;
    }
    return Math.round(text / compressed * 100) / 100;
  }

  /** Records that a device has written when a unit begins. */
  linesBefore(unit: number): number {
    while (this.#unitStart.length <= unit) {
      const untilBytes = this.#unitStart.length * this.bytesPerSecond * this.unitMs / 1000;
      while (this.#bytes < untilBytes) this.#addLine();
      this.#unitStart.push(this.#lines.length);
    }
    return this.#unitStart[unit]!;
  }

  /** The text of records `first` to `last`, as it must be stored. */
  text(first: number, last: number): string {
    while (this.#lines.length <= last) this.#addLine();
    return this.#lines.slice(first, last + 1).join("");
  }

  #make(first: number, end: number): ChunkedFrame {
    const records = end - first;
    const header = formatUploadHeader({ first, last: end - 1, count: records });
    const text = Buffer.from(header + this.text(first, end - 1), "latin1");
    const bytes = compressFrame(text);
    const size = Buffer.from(`${bytes.length.toString(16)}\r\n`);
    const chunk = Uint8Array.from(Buffer.concat([size, bytes, Buffer.from("\r\n")]));
    return { chunk, decodedBytes: text.length, compressedBytes: bytes.length, records };
  }

  #addLine(): void {
    const router = Math.floor(this.#bytes / routerBytes);
    if (router > this.#router) this.#text = new LogText(seededRandom(router), `router${router}`);
    this.#router = router;
    const { prio, text, more } = this.#text!.next();
    const usec = Math.floor(this.#bytes / this.bytesPerSecond * 1e6);
    const seq = this.#lines.length;
    const line = { prio, seq, usec, flag: "-", fields: "", text: escapeText(text) };
    this.#lines.push(formatRecord({ ...line, more: more.map(escapeText) }));
    this.#bytes += this.#lines.at(-1)!.length;
  }
}
