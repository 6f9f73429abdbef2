/**
 * Events whose time isn't fixed yet, since their boot's clock isn't known well: held back, by boot, until
 * it is, or until they have waited long enough. What is held is saved with the batch, so a cursor may
 * move past it.
 */
import { limits } from "../shared/limits.ts";
import { clockKey } from "./boot_clocks.ts";
import type { FactStore, Kept } from "./facts.ts";

/** What an event needs to have its time fixed; anything else in it must survive JSON. */
export interface Undated {
  device: string;
  boot: string;
  usec: number;
  /** By a receiver's clock that is right. */
  recvUs: number;
}

interface Held<E> {
  id: string;
  event: E;
}

export class Waiting<E extends Undated> implements Kept {
  readonly kind = "waiting";
  /** In the order in which they came. */
  readonly #boots = new Map<string, Held<E>[]>();
  readonly #changed = new Map<string, E | undefined>();
  #size = 0;
  #lastId = 0;

  constructor(store: FactStore) {
    for (const [id, text] of store.all(this.kind)) {
      this.#add({ id, event: JSON.parse(text) });
      this.#lastId = Number(id);
    }
  }

  /** Whether events of this boot are waiting: most boots have none, ever. */
  has(boot: string): boolean {
    return this.#size > 0 && this.#boots.has(boot);
  }

  /** Holds an event back. Gives those for which there is no room any more: they must go as they are. */
  hold(event: E): E[] {
    // Of one length, so that their order as texts is the order in which they came.
    const id = String(++this.#lastId).padStart(16, "0");
    this.#changed.set(id, event);
    const held = this.#add({ id, event });
    if (held.length > limits.waitingOfBootMax) return this.#drop(clockKey(event), 1);
    if (this.#size <= limits.waitingMax) return [];
    const [boot, all] = [...this.#boots][0]!;
    return this.#drop(boot, all.length);
  }

  /** Gives those of a boot that needn't wait any more, in the order in which they came. */
  take(boot: string, isDue: (event: E) => boolean): E[] {
    const held = this.#boots.get(boot);
    if (!held) return [];
    const due = held.filter(({ event }) => isDue(event));
    const rest = held.filter((one) => !due.includes(one));
    if (rest.length > 0) this.#boots.set(boot, rest);
    else this.#boots.delete(boot);
    return this.#forget(due);
  }

  /** The same, of all boots: for those of which nothing comes any more. */
  takeAll(isDue: (event: E) => boolean): E[] {
    return [...this.#boots.keys()].flatMap((boot) => this.take(boot, isDue));
  }

  *changed(): Generator<[key: string, value: string | undefined]> {
    for (const [id, event] of this.#changed) yield [id, event && JSON.stringify(event)];
  }

  saved(): void {
    this.#changed.clear();
  }

  #add(one: Held<E>): Held<E>[] {
    const boot = clockKey(one.event);
    const held = this.#boots.get(boot) ?? [];
    held.push(one);
    this.#boots.set(boot, held);
    this.#size++;
    return held;
  }

  #drop(boot: string, count: number): E[] {
    const held = this.#boots.get(boot)!;
    const dropped = held.splice(0, count);
    if (held.length === 0) this.#boots.delete(boot);
    return this.#forget(dropped);
  }

  #forget(held: Held<E>[]): E[] {
    for (const { id } of held) this.#changed.set(id, undefined);
    this.#size -= held.length;
    return held.map(({ event }) => event);
  }
}
