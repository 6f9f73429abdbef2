/** Follows the events files and measures how long each event took from its line to the file. */
import { closeSync, existsSync, openSync, readdirSync, readSync, watch } from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";

export interface SeenEvent {
  device: string;
  boot: string;
  usec: number;
  recv_us: number;
}

export class EventFollower {
  readonly #offsets = new Map<string, number>();
  #partial = "";
  /** Milliseconds from the record's making to its event, and from its arrival at the receiver. */
  readonly whole: number[] = [];
  readonly behindReceiver: number[] = [];
  readonly inDevice: number[] = [];
  events = 0;

  /** `writtenUs` tells when a record was written, undefined where that isn't known. */
  constructor(
    private readonly folder: string,
    private readonly writtenUs: (event: SeenEvent) => number | undefined,
  ) {}

  /** Looks at each change of the folder until it is disposed of. */
  follow(): Disposable {
    const watcher = existsSync(this.folder)
      ? watch(this.folder, () => this.look())
      : { close: () => {} };
    const timer = setInterval(() => this.look(), 5);
    return {
      [Symbol.dispose]: () => {
        watcher.close();
        clearInterval(timer);
      },
    };
  }

  look(): void {
    if (!existsSync(this.folder)) return;
    for (const file of readdirSync(this.folder)) this.#read(join(this.folder, file));
  }

  #read(path: string): void {
    const fd = openSync(path, "r");
    const buffer = Buffer.alloc(1 << 20);
    const at = this.#offsets.get(path) ?? 0;
    const length = readSync(fd, buffer, 0, buffer.length, at);
    closeSync(fd);
    if (length === 0) return;
    const nowUs = Date.now() * 1000;
    this.#offsets.set(path, at + length);
    const lines = (this.#partial + buffer.toString("utf8", 0, length)).split("\n");
    this.#partial = lines.pop()!;
    for (const line of lines) this.#event(JSON.parse(line) as SeenEvent, nowUs);
  }

  #event(event: SeenEvent, nowUs: number): void {
    this.events++;
    const writtenUs = this.writtenUs(event);
    if (writtenUs === undefined) return;
    this.whole.push((nowUs - writtenUs) / 1000);
    this.behindReceiver.push((nowUs - event.recv_us) / 1000);
    this.inDevice.push((event.recv_us - writtenUs) / 1000);
  }
}

/** The q-th quantile of the numbers, rounded to 0.1; 0 where there are none. */
export function quantile(numbers: readonly number[], q: number): number {
  if (numbers.length === 0) return 0;
  const sorted = [...numbers].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.floor(q * sorted.length));
  return Math.round(sorted[index]! * 10) / 10;
}
