/**
 * The lines of DIR/aggregates: for each (window, rule, labels) the one with the highest rev counts,
 * and together they must count each event once.
 */

/** A line of DIR/aggregates (grinder/aggregates.ts), as far as it is looked at. */
export interface AggregateLine {
  window: string;
  window_s: number;
  rule: string;
  labels: Record<string, string>;
  rev: number;
  count: number;
}

interface Final {
  window: number;
  windowS: number;
  rule: string;
  revs: Set<number>;
  rev: number;
  count: number;
}

export interface Mismatch {
  rule: string;
  /** ISO 8601. */
  window: string;
  events: number;
  counted: number;
}

export class CheckedAggregates {
  readonly #finals = new Map<string, Final>();

  get size(): number {
    return this.#finals.size;
  }

  /** False if the same (window, rule, labels, rev) was there before. */
  add({ window, window_s: windowS, rule, labels, rev, count }: AggregateLine): boolean {
    const sorted = Object.entries(labels).sort(([a], [b]) => a < b ? -1 : 1);
    const key = JSON.stringify([window, windowS, rule, sorted]);
    const final = this.#finals.get(key);
    if (!final) {
      const start = Date.parse(window) / 1000;
      this.#finals.set(key, { window: start, windowS, rule, revs: new Set([rev]), rev, count });
      return true;
    }
    if (final.revs.has(rev)) return false;
    final.revs.add(rev);
    if (rev > final.rev) Object.assign(final, { rev, count });
    return true;
  }

  /** Where the final counts of a rule in a window aren't the number of its events in there. */
  *mismatches(events: EventSeconds): Generator<Mismatch> {
    const sizes = new Set([...this.#finals.values()].map((final) => final.windowS));
    // Without a single aggregate any window shows that events aren't counted.
    if (sizes.size === 0) sizes.add(60);
    for (const windowS of sizes) {
      const counted = new Map<string, number>();
      for (const final of this.#finals.values()) {
        if (final.windowS === windowS) addTo(counted, `${final.rule} ${final.window}`, final.count);
      }
      const expected = events.perWindow(windowS);
      for (const key of new Set([...counted.keys(), ...expected.keys()])) {
        const [has, is] = [expected.get(key) ?? 0, counted.get(key) ?? 0];
        if (has === is) continue;
        const [rule, start] = key.split(" ") as [string, string];
        const window = new Date(Number(start) * 1000).toISOString();
        yield { rule, window, events: has, counted: is };
      }
    }
  }
}

/** How many events each rule has in each second. */
export class EventSeconds {
  readonly #counts = new Map<string, Map<number, number>>();

  /** @param wallUs the event's time, Unix microseconds */
  add(rule: string, wallUs: number): void {
    const seconds = this.#counts.get(rule) ?? new Map<number, number>();
    this.#counts.set(rule, seconds);
    const second = Math.floor(wallUs / 1e6);
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }

  /** By `RULE START`, START in Unix seconds. */
  perWindow(windowS: number): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [rule, seconds] of this.#counts) {
      for (const [second, count] of seconds) {
        addTo(counts, `${rule} ${Math.floor(second / windowS) * windowS}`, count);
      }
    }
    return counts;
  }
}

function addTo(counts: Map<string, number>, key: string, more: number): void {
  counts.set(key, (counts.get(key) ?? 0) + more);
}
