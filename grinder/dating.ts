/**
 * Events in, the same with the times at which they happened out: at once where their boot's clock is
 * known well, else when it is, or when they have waited long enough. A time is fixed once.
 */
import type { BootClocks, ClockBoot } from "./boot_clocks.ts";
import type { BuiltInEvent } from "./built_in.ts";
import type { WallTime } from "./clock_fit.ts";
import { type EventParts, framePart, namesPart, recordPart } from "./event.ts";
import type { FactStore, Kept } from "./facts.ts";
import { type Undated, Waiting } from "./waiting.ts";

/** An event with all that its line and the aggregates need, but the time. It survives JSON. */
export interface UndatedEvent extends Undated {
  parts: EventParts;
  /** What aggregates count; undefined for an event that isn't counted. */
  counted?: Counted;
}

export interface Counted {
  /** JSON of the rule's labels. */
  labels: string;
  value?: number | undefined;
  /** The device's labels by which to count as well. */
  device: readonly string[];
}

export type DatedEvent = Pick<UndatedEvent, "device" | "parts" | "counted">;

export class Dating {
  readonly #waiting: Waiting<UndatedEvent>;

  /** `dated` is told of each event as soon as it has its time: what is kept for later is paid for twice. */
  constructor(
    store: FactStore,
    private readonly clocks: Pick<BootClocks, "wallTime" | "waitUntilUs">,
    private readonly dated: (event: DatedEvent, time: WallTime) => void,
  ) {
    this.#waiting = new Waiting(store);
  }

  /** What is to be saved with each batch. */
  get kept(): Kept {
    return this.#waiting;
  }

  /** `boot` is the event's; of one that `isOver` nothing more will be known. */
  add(event: UndatedEvent, boot: ClockBoot, isOver: boolean): void {
    if (isOver || this.#isDue(event, event.recvUs, boot)) this.#fix(event, boot);
    else for (const crowdedOut of this.#waiting.hold(lasting(event))) this.#fix(crowdedOut);
  }

  /** Adds an event that has its time. */
  addBuiltIn(said: BuiltInEvent, labels: string): void {
    const { rule, time, header, record, place } = said;
    const { device, recvUs } = header;
    const parts = {
      rule,
      names: namesPart(header),
      record: recordPart(record, said, labels),
      recvUs,
      frame: framePart(place),
      line: place.line,
    };
    const counted = { labels, value: said.value, device: [] };
    this.dated({ device, parts, counted }, time);
  }

  /** A block or a sync record of this boot (`clockKey`) has come, received at `recvUs`. */
  heard(boot: string, recvUs: number): void {
    if (!this.#waiting.has(boot)) return;
    for (const event of this.#waiting.take(boot, (one) => this.#isDue(one, recvUs))) {
      this.#fix(event);
    }
  }

  /** All that is stored by `nowUs` has been read; at the end that is Infinity. */
  look(nowUs: number): void {
    for (const event of this.#waiting.takeAll((one) => this.#isDue(one, nowUs))) this.#fix(event);
  }

  #isDue(event: UndatedEvent, nowUs: number, boot: ClockBoot = event): boolean {
    return this.clocks.waitUntilUs(boot, event.usec, event.recvUs) <= nowUs;
  }

  #fix(event: UndatedEvent, boot: ClockBoot = event): void {
    this.dated(event, this.clocks.wallTime(boot, event.usec, event.recvUs));
  }
}

/** What may be kept of an event: its bytes are another frame's soon. */
function lasting(event: UndatedEvent): UndatedEvent {
  const { bytes: _, ...parts } = event.parts;
  return { ...event, parts };
}
