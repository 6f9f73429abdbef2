/**
 * Blocks in, in a first pass; then the wall time of any record in them, by all that their boots' clock
 * records and receive times say: the same reckoning as the grinder's (clock_fit.ts), but with what came
 * later known as well.
 */
import type { Block, BlockHeader } from "../../shared/block.ts";
import { parseRecord, parseSync } from "../../shared/record.ts";
import { addReceived, addSync, type ClockFit, newFit, timeAt } from "../clock_fit.ts";
import { clockKey } from "../boot_clocks.ts";
import { ReceiverClocks } from "../receiver_clocks.ts";

const syncMark = ",s,wall_us=";

export class WallTimes {
  readonly #fits = new Map<string, ClockFit>();
  readonly #receivers = new ReceiverClocks({ load: () => undefined, all: () => [] });
  /** Asked for again and again, for the records of one block. */
  #header: BlockHeader | undefined;
  #fit = newFit(0);
  #recvUs = 0;

  /** Takes note of a block. */
  note(receiver: string, { header, text }: Block): void {
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

  /** Unix microseconds of a record's writing. */
  wallTime = (header: BlockHeader, usec: number, receiver: string): number => {
    if (header !== this.#header) {
      this.#header = header;
      this.#recvUs = this.#received(receiver, header);
      this.#fit = this.#fits.get(clockKey(header)) ?? newFit(header.recvUs);
    }
    return timeAt(this.#fit, usec, this.#recvUs).wallUs;
  };

  #sync(receiver: string, header: BlockHeader, fit: ClockFit, line: string): void {
    const record = parseRecord(line);
    const sync = record?.flag === "s" ? parseSync(record) : undefined;
    if (!record || !sync) return;
    this.#receivers.sync(receiver, header.device, sync, header.recvUs);
    addSync(fit, record.usec, sync, this.#received(receiver, header));
  }

  /** By a clock that is right. */
  #received(receiver: string, { recvUs }: BlockHeader): number {
    return recvUs - this.#receivers.skewUs(receiver);
  }
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
