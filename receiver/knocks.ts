/**
 * Who knocked: keys that signed a good token but aren't on the allow-list go in; out comes a bounded
 * text, kept beside the list, from which `receiver devices` shows them.
 *
 *   knocked/RECEIVER = *(knock LF) [forgotten LF]
 *   knock      = THUMBPRINT SP ADDRESS SP FIRST SP LAST SP COUNT
 *   forgotten  = "forgotten" SP COUNT
 *
 * ADDRESS is the one of the last knock, `-` if it isn't known. FIRST and LAST are times of ISO 8601
 * in UTC. The count of the last line is of knocks that were dropped to stay within the bound.
 *
 * Making keys costs nothing. So when all room is taken, the address with the most keys (of IPv6, the
 * /64) gives way: of its keys the one with the fewest knocks, of those the one silent for longest. A
 * flood from few addresses only pushes out itself, and a device that is real knocks again every
 * minute. One that comes from more addresses than there is room can push out others: they are counted.
 */
import type { ListPlace, Places } from "../shared/allowlist_place.ts";
import { limits } from "../shared/limits.ts";
import { AuthError } from "../shared/token.ts";

export interface Knock {
  thumbprint: string;
  address: string;
  /** Unix time in milliseconds. */
  firstMs: number;
  lastMs: number;
  count: number;
}

export interface KnockOptions {
  place: ListPlace;
  /** Unix time in milliseconds. */
  nowMs: () => number;
  knocksMax?: number;
}

const knockForm =
  /^([A-Za-z0-9_-]{43}) ([0-9A-Za-z.:%-]{1,64}) (\d{4}-\S{1,20}Z) (\d{4}-\S{1,20}Z) (\d{1,15})$/;
const forgottenForm = /^forgotten (\d{1,15})$/;
const addressForm = /^[0-9A-Za-z.:%]{1,64}$/;

export class Knocks {
  /** The one silent for longest first: a key that knocks again goes to the end. */
  readonly #knocks = new Map<string, Knock & { network: string }>();
  #changed = false;
  #savedMs = -Infinity;
  #saving: Promise<void> | undefined;
  /** Knocks that were dropped to stay within the bound. */
  forgotten = 0;
  /** Why they couldn't be saved at the last try. */
  problem: string | undefined;

  constructor(private readonly options: KnockOptions) {}

  /** What an earlier run of this receiver saved is gone on with; if it can't be read, without it. */
  static async open(options: KnockOptions): Promise<Knocks> {
    const knocks = new Knocks(options);
    try {
      const saved = parseKnocks((await options.place.read())!.text);
      knocks.forgotten = saved.forgotten;
      for (const knock of saved.knocks) knocks.#add(knock);
    } catch (error) {
      knocks.problem = (error as Error).message;
    }
    return knocks;
  }

  get size(): number {
    return this.#knocks.size;
  }

  /** Whatever says who sends, with a note of those who aren't let in. */
  noting<T>(
    identify: (headers: Headers, peer: () => string | undefined) => Promise<T>,
  ): typeof identify {
    return async (headers, peer) => {
      try {
        return await identify(headers, peer);
      } catch (error) {
        const stranger = error instanceof AuthError && error.code === "unknown_device";
        if (stranger && error.thumbprint) this.note(error.thumbprint, peer());
        throw error;
      }
    };
  }

  /** Takes note of a knock by a key whose signature is good. */
  note(thumbprint: string, address: string | undefined): void {
    const nowMs = this.options.nowMs();
    const known = this.#knocks.get(thumbprint);
    this.#knocks.delete(thumbprint);
    this.#add({
      thumbprint,
      address: address !== undefined && addressForm.test(address) ? address : "-",
      firstMs: known?.firstMs ?? nowMs,
      lastMs: nowMs,
      count: (known?.count ?? 0) + 1,
    });
    this.#changed = true;
  }

  /** Lets go of those who are let in by now. */
  admitted(isAllowed: (thumbprint: string) => boolean): void {
    for (const thumbprint of [...this.#knocks.keys()]) {
      if (!isAllowed(thumbprint)) continue;
      this.#knocks.delete(thumbprint);
      this.#changed = true;
    }
  }

  /**
   * Saves what has changed, but not sooner than `limits.knocksSaveMs` after the last try, except at
   * the `end`. Called often; never rejects: a place that can't be written is `problem`.
   */
  save(when: "due" | "end" = "due"): Promise<void> {
    const nowMs = this.options.nowMs();
    // A clock that was set back must not silence it.
    const isDue = when === "end" || Math.abs(nowMs - this.#savedMs) >= limits.knocksSaveMs;
    if (this.#saving || !this.#changed || !isDue) return this.#saving ?? Promise.resolve();
    this.#savedMs = nowMs;
    this.#saving = this.#write().finally(() => this.#saving = undefined);
    return this.#saving;
  }

  async #write(): Promise<void> {
    const { place } = this.options;
    this.#changed = false;
    try {
      const text = formatKnocks(this.#knocks.values(), this.forgotten);
      const { stamp } = (await place.read())!;
      if (!await place.replace(text, stamp)) throw new Error(`${place.name} is written by another`);
      this.problem = undefined;
    } catch (error) {
      this.#changed = true;
      this.problem = (error as Error).message;
    }
  }

  #add(knock: Knock): void {
    this.#dropAged();
    if (this.#knocks.size >= (this.options.knocksMax ?? limits.knocksMax)) this.#giveWay();
    this.#knocks.set(knock.thumbprint, { ...knock, network: networkOf(knock.address) });
  }

  #dropAged(): void {
    const sinceMs = this.options.nowMs() - limits.knockAgeMsMax;
    for (const { thumbprint, lastMs } of this.#knocks.values()) {
      if (lastMs >= sinceMs) return;
      this.#knocks.delete(thumbprint);
    }
  }

  #giveWay(): void {
    const knocks = [...this.#knocks.values()];
    const keys = new Map<string, number>();
    for (const { network } of knocks) keys.set(network, (keys.get(network) ?? 0) + 1);
    const most = Math.max(...keys.values());
    const least = knocks.filter(({ network }) => keys.get(network) === most)
      .reduce((a, b) => isLess(b, a) ? b : a);
    this.#knocks.delete(least.thumbprint);
    this.forgotten += least.count;
  }
}

/** The knocks at all receivers, the newest first; each key once. */
export async function readKnocks(
  places: Places,
  nowMs: number,
): Promise<{ knocks: Knock[]; forgotten: number }> {
  const all = new Map<string, Knock>();
  let forgotten = 0;
  for (const name of await places.namesBelow("knocked", limits.knockReceiversMax)) {
    const saved = parseKnocks((await places.at(`knocked/${name}`).read())!.text);
    forgotten += saved.forgotten;
    for (const knock of saved.knocks) {
      if (nowMs - knock.lastMs > limits.knockAgeMsMax) continue;
      all.set(knock.thumbprint, joined(knock, all.get(knock.thumbprint)));
    }
  }
  return { knocks: [...all.values()].sort((a, b) => b.lastMs - a.lastMs), forgotten };
}

export function formatKnocks(knocks: Iterable<Knock>, forgotten: number): string {
  const lines = Array.from(knocks, ({ thumbprint, address, firstMs, lastMs, count }) => {
    const [first, last] = [firstMs, lastMs].map((ms) => new Date(ms).toISOString());
    return `${thumbprint} ${address} ${first} ${last} ${count}\n`;
  });
  return lines.join("") + (forgotten > 0 ? `forgotten ${forgotten}\n` : "");
}

/** Lines that aren't in the format are skipped: it is a convenience, not a record. */
export function parseKnocks(text: string): { knocks: Knock[]; forgotten: number } {
  const knocks: Knock[] = [];
  let forgotten = 0;
  for (const line of text.split("\n")) {
    const [, thumbprint, address, first, last, count] = knockForm.exec(line) ?? [];
    forgotten += Number(forgottenForm.exec(line)?.[1] ?? 0);
    if (!thumbprint) continue;
    const [firstMs, lastMs] = [Date.parse(first!), Date.parse(last!)];
    if (!(firstMs <= lastMs)) continue;
    knocks.push({ thumbprint, address: address!, firstMs, lastMs, count: Number(count) });
  }
  return { knocks, forgotten };
}

function joined(a: Knock, b: Knock | undefined): Knock {
  if (!b) return a;
  return {
    ...(a.lastMs > b.lastMs ? a : b),
    firstMs: Math.min(a.firstMs, b.firstMs),
    count: a.count + b.count,
  };
}

function isLess(a: Knock, b: Knock): boolean {
  return a.count === b.count ? a.lastMs < b.lastMs : a.count < b.count;
}

/** Who has one address of an IPv6 network has all of its /64. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array(Math.max(0, zeros)).fill("0"), ...right].slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, "")).join(":");
}
