/**
 * A random source and a device's name to plausible log text of one Linux router, without end: the
 * templates of lines.ts, chosen by weight and filled in. The same random numbers give the same text.
 */
import {
  bootLines,
  type Episode,
  episodes,
  type Model,
  models,
  panicLines,
  shutdownLines,
} from "./lines.ts";

export interface LogLine {
  /** Facility * 8 + level. */
  prio: number;
  /** Raw: escaping it is the caller's. */
  text: string;
  /** Continuation lines: `KEY=value`. */
  more: string[];
}

interface Station {
  mac: string;
  ip: string;
  host: string;
  radio: string;
  /** The mesh node it is behind. */
  peer: string;
}

/** A household's. Few, so that the same addresses come again and again, as they do. */
const stationCount = 14;
const hosts = ["phone", "laptop", "tv", "printer", "tablet", "*", "doorbell", "Müllers-PC"];

/** Daemons say a thing of one station after the other; it makes real logs compress as they do. */
const againShare = 0.5;

const totalWeight = episodes.reduce((sum, episode) => sum + episode.weight, 0);
const linePattern = /^<(\d+)>([^\n]*)\n?/;
const placeholder = /\{([a-z]+)(?::([^}]*))?\}/g;

export class LogText {
  readonly #random: () => number;
  /** Placeholders that stay what they are as long as the device lives. */
  readonly #fixed: Record<string, string>;
  readonly #stations: Station[];
  readonly #counters = new Map<string, number>();
  readonly #readings = new Map<string, number>();
  readonly #pids = new Map<string, number>();
  #station: Station;
  #episode: Episode;
  /** What is left to say of the episode, last line first. */
  #waiting: string[] = [];

  constructor(random: () => number, device: string) {
    this.#random = random;
    const model: Model = this.#one(models);
    this.#fixed = {
      ...model,
      device,
      gateway: `198.51.100.${this.#whole(1, 254)}`,
      bssid: `02:00:5e:${this.#mac(3)}`,
    };
    this.#stations = Array.from({ length: stationCount }, () => this.#newStation());
    this.#station = this.#one(this.#stations);
    this.#episode = this.#choose();
  }

  /** The model's name, as its kernel gives it. */
  get model(): string {
    return this.#fixed["model"]!;
  }

  /** The next line of a device that runs. */
  next(): LogLine {
    if (this.#waiting.length === 0) {
      this.#station = this.#one(this.#stations);
      if (this.#random() >= againShare) this.#episode = this.#choose();
      this.#waiting = this.#episode.lines.toReversed();
    }
    return this.#fill(this.#waiting.pop()!);
  }

  /** The first lines of a boot. Process ids and counters begin anew; what was being said is forgotten. */
  boot(): LogLine[] {
    this.#waiting = [];
    this.#pids.clear();
    this.#counters.clear();
    return bootLines.map((line) => this.#fill(line));
  }

  /** The last lines before a clean reboot. */
  shutdown(): LogLine[] {
    return shutdownLines.map((line) => this.#fill(line));
  }

  /** The last words of a kernel that dies: only pstore has them. */
  panic(): LogLine[] {
    return panicLines.map((line) => this.#fill(line));
  }

  #choose(): Episode {
    let left = this.#random() * totalWeight;
    for (const episode of episodes) {
      left -= episode.weight;
      if (left < 0) return episode;
    }
    return episodes.at(-1)!;
  }

  #fill(template: string): LogLine {
    const filled = template.replace(
      placeholder,
      (_, name: string, argument = "") => this.#value(name, argument),
    );
    const [first, prio, text] = linePattern.exec(filled)!;
    const more = filled.slice(first.length);
    return { prio: Number(prio), text: text!, more: more === "" ? [] : more.split("\n") };
  }

  #value(name: string, argument: string): string {
    switch (name) {
      case "n":
        return String(this.#whole(...range(argument)));
      case "f":
        return this.#decimal(...range(argument));
      case "hex":
        return this.#hex(Number(argument));
      case "one":
        return this.#one(argument.split("|"));
      case "seq":
        return String(this.#count(argument));
      case "near":
        return String(this.#drift(argument));
      case "pid":
        return String(this.#pid(argument));
    }
    const value = this.#fixed[name] ?? this.#station[name as keyof Station];
    if (value === undefined) throw new Error(`Cannot fill in {${name}}: no such placeholder`);
    return value;
  }

  #count(name: string): number {
    const last = this.#counters.get(name) ?? this.#whole(1, 100_000);
    const next = last + this.#whole(1, 9);
    this.#counters.set(name, next);
    return next;
  }

  /** A reading moves by little from one line to the next: `NAME:LOW-HIGH`. */
  #drift(argument: string): number {
    const [name, bounds] = argument.split(":") as [string, string];
    const [low, high] = range(bounds);
    const step = Math.max(1, Math.round((high - low) / 30));
    const last = this.#readings.get(name) ?? this.#whole(low, high);
    const next = Math.min(high, Math.max(low, last + this.#whole(-step, step)));
    this.#readings.set(name, next);
    return next;
  }

  #pid(name: string): number {
    const pid = this.#pids.get(name) ?? this.#whole(300, 4000);
    this.#pids.set(name, pid);
    return pid;
  }

  #newStation(): Station {
    return {
      mac: `${this.#one(["02:00:00", "06:1a:22", "0a:b4:4c"])}:${this.#mac(3)}`,
      ip: `192.168.1.${this.#whole(100, 249)}`,
      host: this.#one(hosts),
      radio: this.#one(["wlan0", "wlan1"]),
      peer: this.#hex(12),
    };
  }

  #mac(bytes: number): string {
    return Array.from({ length: bytes }, () => this.#hex(2)).join(":");
  }

  #hex(digits: number): string {
    let text = "";
    while (text.length < digits) text += "0123456789abcdef"[this.#whole(0, 15)];
    return text;
  }

  #decimal(low: number, high: number): string {
    return (low + this.#random() * (high - low + 0.9)).toFixed(1);
  }

  /** Both ends included. */
  #whole(low: number, high: number): number {
    return low + Math.floor(this.#random() * (high - low + 1));
  }

  #one<T>(values: readonly T[]): T {
    return values[this.#whole(0, values.length - 1)]!;
  }
}

/** `LOW-HIGH`; either may be negative. */
function range(text: string): [number, number] {
  const match = /^(-?\d+)-(-?\d+)$/.exec(text);
  if (!match) throw new Error(`Cannot fill in a range because it must be LOW-HIGH: it is ${text}`);
  return [Number(match[1]), Number(match[2])];
}
