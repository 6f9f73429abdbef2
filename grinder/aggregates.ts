/**
 * Events to aggregates: one line for each (window, rule, labels) in `aggregates/YYYYMMDD.jsonl` (the
 * day on which it was committed):
 *
 * | key | meaning |
 * |-----|---------|
 * | window, window_s | the window's start in event time, ISO 8601, and its length in seconds |
 * | rule, labels | which events: the rule's labels and the device's labels that the rule names |
 * | rev | 0 when the window closes; a late record gives a new line with a higher one, which replaces |
 * | count, devices | events, and distinct devices; `devices_capped` where those are at least so many |
 * | first, last | times of the earliest and the latest event |
 * | sum min max p50 p90 p99 | of the rule's value, where it has one; quantiles are within 1 % |
 *
 * A window is due `latenessMs` after its end by the newest receive time (or the wall clock, once all is
 * read): devices that are silent don't hold it back. Late records make it due again after as long.
 */
import { limits } from "../shared/limits.ts";
import { isoMicros } from "./event.ts";
import type { Rule } from "./rule.ts";
import { Sketch } from "./sketch.ts";

export interface AggregateEvent {
  rule: Rule;
  labels: Record<string, string>;
  value?: number | undefined;
  device: string;
  wallUs: number;
}

/** One (window, rule, labels), as it is kept in the state. */
export interface Aggregate {
  startUs: number;
  rule: string;
  /** JSON of the labels, keys in the rule's order. */
  labels: string;
  count: number;
  devices: number;
  firstUs: number;
  lastUs: number;
  sketch: Sketch | undefined;
  /** The rev of the next line. */
  rev: number;
  /** When a line is due; undefined while there is nothing new to say. */
  dueUs: number | undefined;
}

export interface AggregateStore {
  load(startUs: number, rule: string, labels: string): Aggregate | undefined;
  /** How many label sets the rule has in the window. */
  labelSets(startUs: number, rule: string): number;
  hasDevice(aggregate: Aggregate, device: string): boolean;
}

interface Held {
  aggregate: Aggregate;
  newDevices: Set<string>;
  /** Devices known to be in the store or in `newDevices`. */
  devices: Set<string>;
}

export class Aggregates {
  readonly #held = new Map<string, Held>();
  readonly #labelSets = new Map<string, number>();
  readonly #dirty = new Set<string>();
  /** Events so late that their window is no longer kept. */
  tooLate = 0;

  constructor(
    private readonly windowUs: number,
    private readonly store: AggregateStore,
    private readonly warn: (text: string) => void,
  ) {}

  /** Counts an event. `clockUs` is the newest receive time. */
  add(event: AggregateEvent, clockUs: number): void {
    if (event.wallUs < clockUs - limits.lateMsMax * 1000) return void this.tooLate++;
    const startUs = Math.floor(event.wallUs / this.windowUs) * this.windowUs;
    const key = this.#place(startUs, event);
    const held = this.#held.get(key)!;
    const { aggregate } = held;
    aggregate.count++;
    aggregate.firstUs = Math.min(aggregate.firstUs, event.wallUs);
    aggregate.lastUs = Math.max(aggregate.lastUs, event.wallUs);
    if (event.value !== undefined) (aggregate.sketch ??= new Sketch()).add(event.value);
    this.#addDevice(held, event.device);
    const endUs = startUs + this.windowUs;
    aggregate.dueUs ??= Math.max(endUs, aggregate.rev > 0 ? clockUs : 0) + limits.latenessMs * 1000;
    this.#dirty.add(key);
  }

  /** The lines that are due by `clockUs`, in a fixed order; everything that is new if it is Infinity. */
  *due(clockUs: number): Generator<string> {
    const due = [...this.#held].filter(([, { aggregate }]) =>
      aggregate.dueUs !== undefined && aggregate.dueUs <= clockUs
    );
    for (const [key, { aggregate }] of due.sort(([a], [b]) => a < b ? -1 : 1)) {
      yield formatAggregate(aggregate, this.windowUs);
      aggregate.rev++;
      aggregate.dueUs = undefined;
      this.#dirty.add(key);
    }
  }

  /** What changed since the last call, to be saved; what is closed then is let go. */
  takeDirty(): Array<{ aggregate: Aggregate; newDevices: string[] }> {
    const changed = [...this.#dirty].map((key) => {
      const { aggregate, newDevices } = this.#held.get(key)!;
      const change = { aggregate, newDevices: [...newDevices] };
      newDevices.clear();
      if (aggregate.dueUs === undefined) this.#held.delete(key);
      return change;
    });
    this.#dirty.clear();
    if (this.#labelSets.size > 10_000) this.#labelSets.clear(); // Counted again when needed.
    return changed;
  }

  /** Takes back aggregates that were open when the state was saved. */
  restore(aggregates: Iterable<Aggregate>): void {
    for (const aggregate of aggregates) {
      this.#held.set(keyOf(aggregate.startUs, aggregate.rule, aggregate.labels), hold(aggregate));
    }
  }

  #place(startUs: number, { rule, labels }: AggregateEvent): string {
    const own = JSON.stringify(labels);
    const key = this.#find(startUs, rule.name, own);
    if (key) return key;
    const group = `${startUs} ${rule.name}`;
    const sets = this.#labelSets.get(group) ?? this.store.labelSets(startUs, rule.name);
    if (sets < limits.labelSetsMax) {
      this.#labelSets.set(group, sets + 1);
      return this.#create(startUs, rule.name, own);
    }
    this.warn(
      `rule ${rule.name}: more than ${limits.labelSetsMax} label sets in a window, such as ${own}: ` +
        `the others are counted as "other"`,
    );
    const other = JSON.stringify(Object.fromEntries(Object.keys(labels).map((k) => [k, "other"])));
    return this.#find(startUs, rule.name, other) ?? this.#create(startUs, rule.name, other);
  }

  #find(startUs: number, rule: string, labels: string): string | undefined {
    const key = keyOf(startUs, rule, labels);
    if (this.#held.has(key)) return key;
    const aggregate = this.store.load(startUs, rule, labels);
    if (!aggregate) return undefined;
    this.#held.set(key, hold(aggregate));
    return key;
  }

  #create(startUs: number, rule: string, labels: string): string {
    const key = keyOf(startUs, rule, labels);
    this.#held.set(
      key,
      hold({
        startUs,
        rule,
        labels,
        count: 0,
        devices: 0,
        firstUs: Infinity,
        lastUs: -Infinity,
        sketch: undefined,
        rev: 0,
        dueUs: undefined,
      }),
    );
    return key;
  }

  #addDevice(held: Held, device: string): void {
    const { aggregate, devices, newDevices } = held;
    if (aggregate.devices >= limits.devicesExactMax || devices.has(device)) return;
    if (devices.size < aggregate.devices && this.store.hasDevice(aggregate, device)) {
      devices.add(device);
      return;
    }
    devices.add(device);
    newDevices.add(device);
    aggregate.devices++;
  }
}

function hold(aggregate: Aggregate): Held {
  return { aggregate, newDevices: new Set(), devices: new Set() };
}

function keyOf(startUs: number, rule: string, labels: string): string {
  return `${startUs} ${rule} ${labels}`;
}

function formatAggregate(aggregate: Aggregate, windowUs: number): string {
  const { sketch } = aggregate;
  const line = {
    window: `${new Date(aggregate.startUs / 1000).toISOString().slice(0, 19)}Z`,
    window_s: windowUs / 1e6,
    rule: aggregate.rule,
    labels: JSON.parse(aggregate.labels),
    rev: aggregate.rev,
    count: aggregate.count,
    devices: aggregate.devices,
    ...(aggregate.devices >= limits.devicesExactMax ? { devices_capped: true } : {}),
    first: isoMicros(aggregate.firstUs),
    last: isoMicros(aggregate.lastUs),
    ...(sketch ? valueFields(sketch) : {}),
  };
  return `${JSON.stringify(line)}\n`;
}

function valueFields(sketch: Sketch): Record<string, number> {
  const { sum, min, max } = sketch;
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((q) => sketch.quantile(q));
  return { sum, min, max, p50: p50!, p90: p90!, p99: p99! };
}
