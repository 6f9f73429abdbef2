/**
 * Records of one boot in the order in which they come, out in the order of the kernel's clock: those of
 * the same microsecond as they came, but what was recovered from memory behind what was stored.
 */
import type { BlockHeader } from "../../shared/block.ts";
import type { LogRecord } from "../../shared/record.ts";
import type { ClockStep } from "../clock_steps.ts";
import type { LinePlace } from "./entry.ts";

export interface Item {
  header: BlockHeader;
  record: LogRecord;
  place: LinePlace;
  /** For a clock sync record: what it shows. */
  step?: ClockStep;
}

/** What has been taken out is let go when there is so much of it. */
const takenMax = 1_024;

export class BootQueue {
  /** Sorted from `#next` on, as far as `#isSorted`. */
  #items: Item[] = [];
  #next = 0;
  #isSorted = true;

  get isEmpty(): boolean {
    return this.#next === this.#items.length;
  }

  push(item: Item): void {
    const last = this.#items.at(-1);
    if (last && compare(last, item) > 0) this.#isSorted = false;
    this.#items.push(item);
  }

  /** The first one; there must be one. */
  get head(): Item {
    this.#sort();
    return this.#items[this.#next]!;
  }

  /** Takes the head. */
  shift(): Item {
    const item = this.head;
    this.#next++;
    if (this.#next >= takenMax || this.isEmpty) {
      this.#items = this.#items.slice(this.#next);
      this.#next = 0;
    }
    return item;
  }

  #sort(): void {
    if (this.#isSorted) return;
    // Stable: those that are equal stay as they came.
    this.#items = this.#items.slice(this.#next).sort(compare);
    this.#next = 0;
    this.#isSorted = true;
  }
}

function compare(a: Item, b: Item): number {
  return clockOf(a) - clockOf(b) || Number(a.record.flag === "p") - Number(b.record.flag === "p");
}

/** Raw lines are of no boot: what clock they show isn't known. */
function clockOf({ header, record }: Item): number {
  return header.source === "raw" ? 0 : record.usec;
}
