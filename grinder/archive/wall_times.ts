/**
 * Blocks in, all of them; then the wall time of any record in them, by all that their boots' clock
 * records and receive times say: the same reckoning as the grinder's (clock_fit.ts), but with what came
 * later known as well.
 */
import type { Block, BlockHeader } from "../../shared/block.ts";
import { parseRecord, parseSync } from "../../shared/record.ts";
import { addReceived, addSync, type ClockFit, newFit, timeAt } from "../clock_fit.ts";
import { clockKey } from "../boot_clocks.ts";
import { ReceiverClocks } from "../receiver_clocks.ts";

const syncMark = ",s,wall_us=";

/** What is known of clocks, as one thread can tell another. */
export interface KnownClocks {
  /** By `clockKey`. */
  fits: Map<string, ClockFit>;
  /** What is to be taken off a receiver's times. */
  skewsUs: Map<string, number>;
}

/** What is asked of a block's header. */
export type TimedBlock = Pick<BlockHeader, "device" | "boot" | "recvUs">;

export class WallTimes {
  readonly #fits = new Map<string, ClockFit>();
  readonly #receivers = new ReceiverClocks({ load: () => undefined, all: () => [] });
  readonly #names = new Set<string>();

  /** Takes note of a block. */
  note(receiver: string, { header, text }: Block): void {
    this.#names.add(receiver);
    // Raw lines have no clock at all.
    if (header.boot === "-") return;
    const key = clockKey(header);
    let fit = this.#fits.get(key);
    if (!fit) this.#fits.set(key, fit = newFit(header.recvUs));
    for (let at = text.indexOf(syncMark); at >= 0; at = text.indexOf(syncMark, at + 1)) {
      this.#sync(receiver, header, fit, lineAt(text, at));
    }
    if (fit.knots.length > 0) return;
    const last = parseRecord(lineAt(text, lastLine(text)));
    if (last) addReceived(fit, last.usec, this.#received(receiver, header));
  }

  /** Unix microseconds of a record's writing, by what is known now. */
  get wallTime(): (header: TimedBlock, usec: number, receiver: string) => number {
    return wallTimeBy({ fits: this.#fits, skewsUs: this.#skewsUs });
  }

  /** What is known of each part of the devices. */
  byPart(partOf: (device: string) => number): Map<number, KnownClocks> {
    const skewsUs = this.#skewsUs;
    const parts = Map.groupBy(this.#fits, ([key]) => partOf(key.slice(0, key.indexOf(" "))));
    return new Map([...parts].map(([part, fits]) => [part, { fits: new Map(fits), skewsUs }]));
  }

  get #skewsUs(): Map<string, number> {
    return new Map([...this.#names].map((name) => [name, this.#receivers.skewUs(name)]));
  }

  #sync(receiver: string, header: BlockHeader, fit: ClockFit, line: string): void {
    const record = parseRecord(line);
    const sync = record?.flag === "s" ? parseSync(record) : undefined;
    if (!record || !sync) return;
    this.#receivers.sync(receiver, header.device, sync, header.recvUs);
    addSync(fit, record.usec, sync, this.#received(receiver, header));
  }

  /** By a clock that is right. */
  #received(receiver: string, { recvUs }: TimedBlock): number {
    return recvUs - this.#receivers.skewUs(receiver);
  }
}

/** Unix microseconds of a record's writing; the blocks are told apart as objects. */
export function wallTimeBy(
  { fits, skewsUs }: KnownClocks,
): (header: TimedBlock, usec: number, receiver: string) => number {
  // Asked for again and again, for the records of one block.
  let block: TimedBlock | undefined;
  let fit = newFit(0);
  let recvUs = 0;
  return (header, usec, receiver) => {
    if (header !== block) {
      block = header;
      recvUs = header.recvUs - (skewsUs.get(receiver) ?? 0);
      fit = fits.get(clockKey(header)) ?? newFit(header.recvUs);
    }
    return timeAt(fit, usec, recvUs).wallUs;
  };
}

function lineAt(text: string, at: number): string {
  const start = text.lastIndexOf("\n", at) + 1;
  const end = text.indexOf("\n", at);
  return text.slice(start, end < 0 ? text.length : end);
}

/** Where the last line begins that is no continuation of another. */
function lastLine(text: string): number {
  let at = text.lastIndexOf("\n", text.length - 2) + 1;
  while (at > 0 && text[at] === " ") at = text.lastIndexOf("\n", at - 2) + 1;
  return at;
}
