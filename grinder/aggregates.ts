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
 * read): devices that are silent don't hold it back. Late records make it due again after as long, if
 * the window is still kept.
 */
import { limits } from "../shared/limits.ts";
import { isoMicros } from "./event.ts";
import { Sketch } from "./sketch.ts";

export interface AggregateEvent {
  /** Its name. */
  rule: string;
  /** JSON of the labels, keys in the rule's order. */
  labels: string;
  value?: number | undefined;
  device: string;
  wallUs: number;
}

/** What identifies an aggregate. */
export interface AggregateKey {
  startUs: number;
  windowUs: number;
  rule: string;
  /** JSON of the labels, keys in the rule's order. */
  labels: string;
}

/** One (window, rule, labels), as it is kept in the state. */
export interface Aggregate extends AggregateKey {
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
  load(key: AggregateKey): Aggregate | undefined;
  /** Those whose line is due by `clockUs`, in any order. */
  due(clockUs: number): Aggregate[];
  /** How many label sets the rule has in the window. */
  labelSets(group: Omit<AggregateKey, "labels">): number;
  /** The distinct devices that were counted, as far as they were. */
  devices(key: AggregateKey): Iterable<string>;
  /** Windows that begin before this aren't kept any more. */
  keptFromUs(): number;
}

interface Held {
  /** `keyOf` the aggregate. */
  key: string;
  aggregate: Aggregate;
  /** Whether it changed since it was saved. */
  isDirty: boolean;
  newDevices: string[];
  /** All that are counted; undefined until it is asked for them. */
  devices: Set<string> | undefined;
}

/** Counts of label sets that are remembered; what was forgotten is counted again in the store. */
const groupsMax = 10_000;

export class Aggregates {
  /** Those that changed since they were saved, and open ones as far as there is room. */
  readonly #held = new Map<string, Held>();
  readonly #labelSets = new Map<string, number>();
  #dirty: Held[] = [];
  /** Of the window that was added to last, by rule and labels: there most events are looked for. */
  readonly #near = new Map<string, Map<string, Held>>();
  #nearStartUs = NaN;
  /** Rules that were said to have too many label sets. */
  readonly #capped = new Set<string>();

  constructor(
    private readonly windowUs: number,
    private readonly store: AggregateStore,
    private readonly warn: (text: string) => void,
  ) {}

  /**
   * Counts an event. False, and nothing is counted, if it is so late that its window isn't kept: a new
   * one would replace the line that was right.
   */
  add(event: AggregateEvent): boolean {
    const startUs = this.#startOf(event.wallUs);
    if (startUs < this.store.keptFromUs()) return false;
    const held = this.#place(startUs, event);
    const { aggregate } = held;
    aggregate.count++;
    aggregate.firstUs = Math.min(aggregate.firstUs, event.wallUs);
    aggregate.lastUs = Math.max(aggregate.lastUs, event.wallUs);
    if (event.value !== undefined) (aggregate.sketch ??= new Sketch()).add(event.value);
    this.#addDevice(held, event.device);
    this.#changed(held);
    return true;
  }

  /** Says when the lines of all that was added by `clockUs` are due. Before `due`, and once. */
  schedule(clockUs: number): void {
    for (const { aggregate } of this.#dirty) {
      const { startUs, rev } = aggregate;
      const newsUs = Math.max(startUs + this.windowUs, rev > 0 ? clockUs : 0);
      aggregate.dueUs ??= newsUs + limits.latenessMs * 1000;
    }
  }

  /** The lines that are due by `clockUs`, in a fixed order; everything that is new if it is Infinity. */
  *due(clockUs: number): Generator<string> {
    for (const aggregate of this.store.due(clockUs)) {
      if (!this.#held.has(keyOf(aggregate))) this.#hold(aggregate);
    }
    const due = [...this.#held].filter(([, { aggregate }]) =>
      aggregate.dueUs !== undefined && aggregate.dueUs <= clockUs
    );
    for (const [, held] of due.sort(([a], [b]) => a < b ? -1 : 1)) {
      const { aggregate } = held;
      yield formatAggregate(aggregate);
      aggregate.rev++;
      aggregate.dueUs = undefined;
      this.#changed(held);
    }
  }

  /** The start of the oldest window for which records may still come by `clockUs`. */
  oldestStartUs(clockUs: number): number {
    return this.#startOf(clockUs - limits.lateMsMax * 1000);
  }

  /** What changed since the last call, to be saved before anything else is asked of this. */
  takeDirty(): Array<{ aggregate: Aggregate; newDevices: string[] }> {
    const changed = this.#dirty.map((held) => {
      const { key, aggregate, newDevices } = held;
      held.isDirty = false;
      if (aggregate.dueUs === undefined) this.#held.delete(key);
      return { aggregate, newDevices: newDevices.splice(0) };
    });
    this.#dirty = [];
    // Some of them aren't held any more.
    this.#near.clear();
    for (const key of this.#held.keys()) {
      if (this.#held.size <= limits.aggregatesCachedMax) break;
      this.#held.delete(key);
    }
    if (this.#labelSets.size > groupsMax) this.#labelSets.clear();
    return changed;
  }

  #startOf(wallUs: number): number {
    return Math.floor(wallUs / this.windowUs) * this.windowUs;
  }

  #changed(held: Held): void {
    if (held.isDirty) return;
    held.isDirty = true;
    this.#dirty.push(held);
  }

  /** The aggregate that an event belongs to. */
  #place(startUs: number, event: AggregateEvent): Held {
    if (startUs !== this.#nearStartUs) this.#near.clear();
    this.#nearStartUs = startUs;
    let sets = this.#near.get(event.rule);
    if (!sets) this.#near.set(event.rule, sets = new Map());
    const near = sets.get(event.labels);
    if (near) return near;
    const held = this.#findOrCreate(startUs, event);
    // Labels without number are the "other" ones together: they mustn't become so many here.
    if (held.aggregate.labels === event.labels) sets.set(event.labels, held);
    return held;
  }

  #findOrCreate(startUs: number, { rule, labels }: AggregateEvent): Held {
    const place = { startUs, windowUs: this.windowUs, rule, labels };
    const known = this.#find(place);
    if (known) return known;
    const group = `${startUs} ${rule}`;
    const sets = this.#labelSets.get(group) ?? this.store.labelSets(place);
    if (sets < limits.labelSetsMax) {
      this.#labelSets.set(group, sets + 1);
      return this.#create(place);
    }
    this.#warnOnce(place);
    const names = Object.keys(JSON.parse(labels));
    const others = Object.fromEntries(names.map((name) => [name, "other"]));
    const other = { ...place, labels: JSON.stringify(others) };
    return this.#find(other) ?? this.#create(other);
  }

  #warnOnce({ startUs, rule, labels }: AggregateKey): void {
    if (this.#capped.has(rule)) return;
    this.#capped.add(rule);
    const held = [...this.#held.values()].map(({ aggregate }) => aggregate)
      .filter((one) => one.startUs === startUs && one.rule === rule);
    const sets = [labels, ...held.map((one) => one.labels)];
    const { label, values } = mostDiverse(sets.map((set) => JSON.parse(set)));
    this.warn(
      `rule ${rule}: more than ${limits.labelSetsMax} label sets in a window, such as ${labels}: ` +
        `the rest is counted as "other". The label "${label}" has ${values} different values or more`,
    );
  }

  #find(place: AggregateKey): Held | undefined {
    const known = this.#held.get(keyOf(place));
    if (known) return known;
    const aggregate = this.store.load(place);
    return aggregate && this.#hold(aggregate);
  }

  #create(place: AggregateKey): Held {
    const none = { count: 0, devices: 0, firstUs: Infinity, lastUs: -Infinity };
    return this.#hold({ ...place, ...none, sketch: undefined, rev: 0, dueUs: undefined });
  }

  #hold(aggregate: Aggregate): Held {
    const devices = aggregate.devices === 0 ? new Set<string>() : undefined;
    const held = { key: keyOf(aggregate), aggregate, isDirty: false, newDevices: [], devices };
    this.#held.set(held.key, held);
    return held;
  }

  #addDevice(held: Held, device: string): void {
    const { aggregate, newDevices } = held;
    if (aggregate.devices >= limits.devicesExactMax) return;
    const devices = held.devices ??= new Set(this.store.devices(aggregate));
    if (devices.has(device)) return;
    devices.add(device);
    newDevices.push(device);
    aggregate.devices++;
  }
}

/** The window that was named last: mostly the next event is in the same one. */
let window = { startUs: NaN, windowUs: NaN, text: "" };

function keyOf({ startUs, windowUs, rule, labels }: AggregateKey): string {
  if (startUs !== window.startUs || windowUs !== window.windowUs) {
    window = { startUs, windowUs, text: `${startUs} ${windowUs}` };
  }
  return `${window.text} ${rule} ${labels}`;
}

/** The label to blame where there are too many sets. */
function mostDiverse(sets: readonly Record<string, string>[]): { label: string; values: number } {
  let most = { label: "", values: 0 };
  for (const label of Object.keys(sets[0] ?? {})) {
    const values = new Set(sets.map((set) => set[label])).size;
    if (values > most.values) most = { label, values };
  }
  return most;
}

function formatAggregate(aggregate: Aggregate): string {
  const { sketch } = aggregate;
  const line = {
    window: `${new Date(aggregate.startUs / 1000).toISOString().slice(0, 19)}Z`,
    window_s: aggregate.windowUs / 1e6,
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
