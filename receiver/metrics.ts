/**
 * Numbers go in, Prometheus' text comes out (its exposition format 0.0.4):
 *
 *     # HELP NAME TEXT
 *     # TYPE NAME counter|gauge|histogram
 *     NAME{LABEL="VALUE"} NUMBER
 *
 * A histogram has NAME_bucket{le="BOUND"} (cumulative, the last one +Inf), NAME_sum and NAME_count.
 */
interface Family {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  samples: () => Array<[suffix: string, value: number]>;
}

export class Metrics {
  readonly #families: Family[] = [];

  /** Counts, by the values of one label where there is one. Values must come from a small set. */
  counter(name: string, help: string, label?: string): Counter {
    const counter = new Counter(label);
    this.#families.push({ name, help, type: "counter", samples: () => counter.samples() });
    return counter;
  }

  /** Read when somebody asks; by the values of `label` where it is a table. */
  gauge(name: string, help: string, read: () => number | Record<string, number>, label = ""): void {
    this.#read({ name, help, type: "gauge" }, read, label);
  }

  /** A count that somebody else keeps. */
  counted(name: string, help: string, read: () => number): void {
    this.#read({ name, help, type: "counter" }, read, "");
  }

  /** @param bounds upper ends of the buckets, rising */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.#families.push({ name, help, type: "histogram", samples: () => histogram.samples() });
    return histogram;
  }

  text(): string {
    return this.#families.map(({ name, help, type, samples }) =>
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n` +
      samples().map(([suffix, value]) => `${name}${suffix} ${value}\n`).join("")
    ).join("");
  }

  #read(
    family: Omit<Family, "samples">,
    read: () => number | Record<string, number>,
    label: string,
  ): void {
    const samples = (): Array<[string, number]> => {
      const value = read();
      if (typeof value === "number") return [["", value]];
      return Object.entries(value).map(([key, n]) => [`{${label}="${key}"}`, n]);
    };
    this.#families.push({ ...family, samples });
  }
}

export class Counter {
  readonly #counts = new Map<string, number>();

  constructor(private readonly label: string | undefined) {
    if (label === undefined) this.#counts.set("", 0);
  }

  add(n = 1, value = ""): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + n);
  }

  samples(): Array<[string, number]> {
    const suffix = (value: string) => this.label === undefined ? "" : `{${this.label}="${value}"}`;
    return [...this.#counts].map(([value, n]) => [suffix(value), n]);
  }
}

export class Histogram {
  readonly #counts: number[];
  #sum = 0;

  constructor(private readonly bounds: readonly number[]) {
    this.#counts = new Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const at = this.bounds.findIndex((bound) => value <= bound);
    this.#counts[at < 0 ? this.bounds.length : at]!++;
    this.#sum += value;
  }

  samples(): Array<[string, number]> {
    let below = 0;
    const buckets = this.#counts.map((count, i): [string, number] => {
      below += count;
      return [`_bucket{le="${this.bounds[i] ?? "+Inf"}"}`, below];
    });
    return [...buckets, ["_sum", this.#sum], ["_count", below]];
  }
}
