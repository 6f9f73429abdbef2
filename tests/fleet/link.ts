/**
 * One boot's way to the receivers: the runtime's fetch, seen by those who measure, and broken where a
 * test asks for it. A boot that is killed stops in the middle of whatever it was doing.
 */
import { type DeviceClock, exponential } from "./device.ts";

export interface LinkCounts {
  posts: number;
  /** POSTs that ended otherwise than with all of it acknowledged. */
  failures: number;
}

export interface LinkOptions {
  fetch: typeof fetch;
  counts: LinkCounts;
  /** Told of each piece of a body as it is handed to fetch. */
  sent: (bytes: Uint8Array) => void;
  /** A connection breaks after so many seconds, on average; Infinity: never. */
  cutSeconds: number;
  clock: DeviceClock;
  random: () => number;
}

export class Link {
  readonly #open = new Set<AbortController>();
  #dead = false;
  /** The device's clock, as long as it lives: whoever sleeps when it is killed sleeps for ever. */
  readonly clock: DeviceClock;

  constructor(private readonly options: LinkOptions) {
    const { clock } = options;
    this.clock = { ...clock, sleep: (ms) => clock.sleep(ms).then(() => this.#alive(undefined)) };
  }

  /** The device has no power any more: open connections break, and no answer ever comes. */
  kill(): void {
    this.#dead = true;
    for (const cut of this.#open) cut.abort(new Error("the device is dead"));
  }

  readonly fetch = (async (url: string | URL, init: RequestInit): Promise<Response> => {
    const { counts } = await this.#alive(this.options);
    counts.posts++;
    const cut = this.#cutter(init.signal!);
    try {
      const body = init.body instanceof ReadableStream ? this.#watched(init.body) : init.body!;
      const response = await this.options.fetch(url, { ...init, body, signal: cut.signal });
      if (response.status === 200) return this.#answer(response, cut);
      counts.failures++;
      this.#open.delete(cut);
      return response;
    } catch (error) {
      counts.failures++;
      this.#open.delete(cut);
      throw await this.#alive(error);
    }
  }) as typeof fetch;

  /** The value, or nothing ever: the agent's own code must not go on in a device that is dead. */
  #alive<T>(value: T): Promise<T> {
    return this.#dead ? new Promise<never>(() => {}) : Promise.resolve(value);
  }

  #cutter(signal: AbortSignal): AbortController {
    const { cutSeconds, clock, random } = this.options;
    const cut = new AbortController();
    this.#open.add(cut);
    signal.addEventListener("abort", () => cut.abort(signal.reason), { once: true });
    if (cutSeconds < Infinity) {
      const error = new Error("the connection broke");
      void clock.sleep(exponential(random) * cutSeconds * 1000).then(() => cut.abort(error));
    }
    return cut;
  }

  #watched(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        this.options.sent(value);
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** The answer as it is; one that ends without `done` counts as a failure. */
  #answer(response: Response, cut: AbortController): Response {
    const short = response.headers.get("Content-Type")?.startsWith("application/json") ?? false;
    const decoder = new TextDecoder();
    let tail = "";
    const end = () => {
      this.#open.delete(cut);
      if (!short && !tail.includes('"done":true')) this.options.counts.failures++;
    };
    const reader = response.body!.getReader();
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            tail = (tail + decoder.decode(value)).slice(-100);
            return controller.enqueue(value);
          }
          end();
          controller.close();
        } catch (error) {
          end();
          controller.error(await this.#alive(error));
        }
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
    return new Response(body, { status: response.status, headers: response.headers });
  }
}
