/**
 * One device's stored blocks in, its records out in the order in which they were written, across boots,
 * sources and receivers. What is read is held for some time of receiving: so long a later block may bring
 * something older, and clock records make the times better.
 *
 * Within a boot the kernel's clock is the order; between boots, the wall clock.
 */
import type { BlockHeader } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import { type LogRecord, parseSync } from "../../shared/record.ts";
import { BootClocks } from "../boot_clocks.ts";
import { unknownErrorUs, type WallTime } from "../clock_fit.ts";
import { forEachFresh, type FoundBlock, type FoundBlocks } from "../reading/stored.ts";
import { BootQueue, type Item } from "./boot_queue.ts";
import type { LinePlace } from "./entry.ts";

export interface DatedItem {
  item: Item;
  time: WallTime;
}

/** A block that was taken, by its last record. */
interface Held {
  header: BlockHeader;
  lastUsec: number;
}

const holdUs = limits.narrativeHoldMs * 1000;
const nothingStored = { load: () => undefined, all: () => [] };

export class DeviceOrder {
  readonly clocks = new BootClocks(nothingStored);
  readonly #queues = new Map<string, BootQueue>();
  readonly #held: Held[] = [];
  /** Nothing older than this is to be expected. */
  #dueUs = -Infinity;

  /**
   * @param stepUsMin the shortest step of the device's wall clock that comes out, as an item
   * @param heardGap is told of gap records as they come: they may stand behind what they explain
   */
  constructor(
    stepUsMin: number,
    private readonly heardGap: (header: BlockHeader, record: LogRecord) => void = () => {},
  ) {
    this.clocks.stepUsMin = stepUsMin;
  }

  /** Takes in what was read; gives what has its place by now. */
  take({ blocks, fromUs }: FoundBlocks): Iterable<DatedItem> {
    for (const block of blocks) this.#block(block);
    let due = 0;
    while (due < this.#held.length && this.#isDue(this.#held[due]!, fromUs)) {
      const { header, lastUsec } = this.#held[due++]!;
      this.#dueUs = Math.max(this.#dueUs, this.#timeOf(header, lastUsec).wallUs);
    }
    if (due === 0) return [];
    this.#held.splice(0, due);
    return this.#due();
  }

  /** Nothing comes any more: gives all that is left. */
  end(): Iterable<DatedItem> {
    this.#dueUs = Infinity;
    this.#held.length = 0;
    return this.#due();
  }

  #isDue({ header, lastUsec }: Held, fromUs: number): boolean {
    const { recvUs } = header;
    return recvUs + holdUs <= fromUs &&
      this.clocks.waitUntilUs(header, lastUsec, recvUs) <= fromUs;
  }

  #block(block: FoundBlock): void {
    const { header, segment, offset } = block;
    const queue = this.#queues.get(header.boot) ?? new BootQueue();
    this.#queues.set(header.boot, queue);
    let lastUsec = 0;
    forEachFresh(block, (record, line) => {
      lastUsec = Math.max(lastUsec, record.usec);
      const item = this.#item(header, record, { segment, offset, line });
      if (item) queue.push(item);
    });
    if (!isRaw(header)) this.clocks.received(header, lastUsec, header.recvUs);
    this.#held.push({ header, lastUsec });
  }

  /** Nothing for a clock record that doesn't show a step. */
  #item(header: BlockHeader, record: LogRecord, place: LinePlace): Item | undefined {
    const item = { header, record, place };
    if (isRaw(header)) return item;
    if (record.flag === "g") this.heardGap(header, record);
    if (record.flag !== "s") return item;
    const sync = parseSync(record);
    const step = sync && this.clocks.sync(header, record.usec, sync, header.recvUs);
    return step && { ...item, step };
  }

  #timeOf(header: BlockHeader, usec: number): WallTime {
    if (isRaw(header)) return { wallUs: header.recvUs, errorUs: unknownErrorUs };
    return this.clocks.wallTime(header, usec, header.recvUs);
  }

  /** Of the boots' first records the one that was written first, again and again. */
  *#due(): Generator<DatedItem> {
    const boots = [...this.#queues].flatMap(([boot, queue]) => {
      if (queue.isEmpty) this.#queues.delete(boot);
      return queue.isEmpty ? [] : [{ queue, time: this.#headTime(queue) }];
    });
    while (boots.length > 0) {
      const first = boots.reduce((a, b) => b.time.wallUs < a.time.wallUs ? b : a);
      if (first.time.wallUs > this.#dueUs) return;
      yield { item: first.queue.shift(), time: first.time };
      if (first.queue.isEmpty) boots.splice(boots.indexOf(first), 1);
      else first.time = this.#headTime(first.queue);
    }
  }

  #headTime({ head: { header, record } }: BootQueue): WallTime {
    return this.#timeOf(header, record.usec);
  }
}

/** Raw lines are of a boot that nobody knows. */
function isRaw({ source }: BlockHeader): boolean {
  return source === "raw";
}
