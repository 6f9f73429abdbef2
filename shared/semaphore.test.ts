import { expect, test } from "bun:test";
import { type Permit, Semaphore } from "./semaphore.ts";

/** Acquires, and notes in `log` when it was granted. */
function enter(semaphore: Semaphore, log: string[], name: string, n = 1, signal?: AbortSignal) {
  const entered = semaphore.acquire(n, signal);
  entered.then(() => log.push(name), () => log.push(`${name} gave up`));
  return entered;
}

/** Lets everything that is ready to run do so, without a timer. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

test("a semaphore hands out its permits and no more", () => {
  const semaphore = new Semaphore(2, "streams");
  const [a, b] = [semaphore.tryAcquire(), semaphore.tryAcquire()];
  expect([a !== undefined, b !== undefined, semaphore.tryAcquire()]).toEqual([
    true,
    true,
    undefined,
  ]);
  a!.release();
  expect(semaphore.available).toBe(1);
  expect(semaphore.tryAcquire()).toBeDefined();
});

test("a semaphore gets its permit back from a body that throws", async () => {
  const semaphore = new Semaphore(1, "streams");
  const body = async () => {
    using _permit = await semaphore.acquire();
    expect(semaphore.available).toBe(0);
    throw new Error("the body");
  };
  await expect(body()).rejects.toThrow("the body");
  expect(semaphore.available).toBe(1);
});

test("a semaphore gets its permit back once, however often it is released", () => {
  const semaphore = new Semaphore(3, "streams");
  const permit = semaphore.tryAcquire(2)!;
  permit.release();
  permit.release();
  permit[Symbol.dispose]();
  expect(semaphore.available).toBe(3);
});

test("a semaphore serves those who wait in turn", async () => {
  const semaphore = new Semaphore(1, "streams");
  const held = semaphore.tryAcquire()!;
  const log: string[] = [];
  const permits = ["a", "b", "c"].map((name) => enter(semaphore, log, name));
  await settle();
  expect([log, semaphore.waiting]).toEqual([[], 3]);
  held.release();
  for (const permit of permits) (await permit).release();
  expect([log, semaphore.available]).toEqual([["a", "b", "c"], 1]);
});

test("a semaphore lets nobody overtake one who waits for many permits", async () => {
  const semaphore = new Semaphore(3, "bytes");
  const held = semaphore.tryAcquire(2)!;
  const log: string[] = [];
  enter(semaphore, log, "many", 3);
  enter(semaphore, log, "one", 1);
  expect(semaphore.tryAcquire(1)).toBe(undefined);
  await settle();
  expect(log).toEqual([]);
  held.release();
  await settle();
  expect(log).toEqual(["many"]);
});

test("a semaphore serves several at once when many permits come back", async () => {
  const semaphore = new Semaphore(4, "bytes");
  const held = semaphore.tryAcquire(4)!;
  const log: string[] = [];
  for (const [name, n] of [["a", 1], ["b", 2], ["c", 2]] as const) enter(semaphore, log, name, n);
  held.release();
  await settle();
  expect([log, semaphore.available, semaphore.waiting]).toEqual([["a", "b"], 1, 1]);
});

test("a semaphore forgets one who gives up and lets those behind go on", async () => {
  const semaphore = new Semaphore(2, "bytes");
  semaphore.tryAcquire();
  const log: string[] = [];
  const abort = new AbortController();
  const given = enter(semaphore, log, "many", 2, abort.signal);
  enter(semaphore, log, "one");
  abort.abort(new Error("stopping"));
  await expect(given).rejects.toThrow("stopping");
  await settle();
  expect(log.sort()).toEqual(["many gave up", "one"]);
  expect([semaphore.available, semaphore.waiting]).toEqual([0, 0]);
});

test("a semaphore refuses at once whom a signal has stopped already", async () => {
  const semaphore = new Semaphore(1, "streams");
  const signal = AbortSignal.abort(new Error("stopping"));
  await expect(semaphore.acquire(1, signal)).rejects.toThrow("stopping");
  expect([semaphore.available, semaphore.waiting]).toEqual([1, 0]);
});

test("a semaphore's permit stays held when the signal is aborted after it was granted", async () => {
  const semaphore = new Semaphore(1, "streams");
  const abort = new AbortController();
  const permit: Permit = await semaphore.acquire(1, abort.signal);
  abort.abort();
  expect(semaphore.available).toBe(0);
  permit.release();
  expect(semaphore.available).toBe(1);
});

test("a semaphore takes an impossible request for a programmer's mistake", () => {
  const semaphore = new Semaphore(2, "streams");
  for (const n of [3, 0, -1, 1.5, NaN]) {
    expect(() => semaphore.tryAcquire(n)).toThrow("streams: a request must be for 1 to 2 permits");
    expect(() => semaphore.acquire(n)).toThrow("1 to 2");
  }
  expect(() => new Semaphore(0, "streams")).toThrow("1 or more");
});

test("a semaphore of many users at random never exceeds its permits and ends with all of them", async () => {
  const semaphore = new Semaphore(5, "bytes");
  let seed = 1;
  const random = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  let held = 0;
  const user = async () => {
    const n = 1 + random(5);
    const abort = new AbortController();
    const entered = semaphore.acquire(n, abort.signal);
    if (random(4) === 0) abort.abort();
    using _permit = await entered;
    held += n;
    expect(held).toBeLessThanOrEqual(5);
    for (let i = random(5); i > 0; i--) await Promise.resolve();
    held -= n;
    if (random(3) === 0) throw new Error("the body");
  };
  await Promise.allSettled(Array.from({ length: 500 }, user));
  expect([held, semaphore.available, semaphore.waiting]).toEqual([0, 5, 0]);
});
