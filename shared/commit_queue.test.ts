import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { CommitQueue, type Sink } from "./commit_queue.ts";
import { limits } from "./limits.ts";
import { decodeSegment } from "./segment_reader.ts";
import { type Pace, StorageError } from "./storage/storage.ts";

/** Lets everything run that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

/** A sink whose commits last until the test ends them. */
class HeldSink implements Sink {
  /** The text of each commit's frames. */
  commits: string[][] = [];
  closed = 0;
  parallel = 0;
  parallelMax = 0;
  #ends: Array<(error?: Error) => void> = [];

  pace: Pace = { companyMs: limits.companyMs, batchBytes: limits.smallBatchBytes, parallel: 1 };
  probes: Array<Error | undefined> = [];

  /** Fails as often as the test has said. */
  probe(): Promise<void> {
    const error = this.probes.shift();
    return error ? Promise.reject(error) : Promise.resolve();
  }

  async commit(frames: Uint8Array[]): Promise<void> {
    this.commits.push(decodeSegment(Buffer.concat(frames)).map(({ text }) => text!));
    this.parallelMax = Math.max(this.parallelMax, ++this.parallel);
    const error = await new Promise<Error | undefined>((end) => this.#ends.push(end));
    this.parallel--;
    if (error) throw error;
  }

  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }

  /** Ends the running commit. */
  async end(error?: Error): Promise<void> {
    const end = this.#ends.shift();
    if (!end) throw new Error("no commit is running");
    end(error);
    await settle();
  }
}

/** A clock that the test moves; sleeps are told, and end when the test says so. */
function handClock() {
  const clock = {
    nowMs: 1_000,
    sleeps: [] as number[],
    wake: [] as Array<() => void>,
    now: () => clock.nowMs,
    sleep: (ms: number) => {
      clock.sleeps.push(ms);
      return new Promise<void>((wake) => clock.wake.push(wake));
    },
    async endSleep(): Promise<void> {
      clock.nowMs += clock.sleeps.at(-1)!;
      clock.wake.shift()!();
      await settle();
    },
  };
  return clock;
}

/** A queue that never waits for company. */
function queueOf(sink: Sink): CommitQueue {
  let nowMs = 0;
  return new CommitQueue(sink, { now: () => nowMs += 1_000, sleep: () => Promise.resolve() });
}

/** What became of appends: "done", or the error. */
function track(appends: Array<Promise<void>>): string[] {
  const outcomes = appends.map(() => "waits");
  appends.forEach((append, i) =>
    append.then(
      () => outcomes[i] = "done",
      (error: Error) => outcomes[i] = error.message,
    )
  );
  return outcomes;
}

const bytes = (text: string) => Buffer.from(text);

describe("a commit queue", () => {
  test("joins what came in the same turn into one frame, in order", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    const outcomes = track(["a\n", "b\n", "c\n"].map((text) => queue.append(bytes(text))));
    await settle();
    expect(sink.commits).toEqual([["a\nb\nc\n"]]);
    expect(outcomes).toEqual(["waits", "waits", "waits"]);
    await sink.end();
    expect(outcomes).toEqual(["done", "done", "done"]);
  });

  test("joins what arrived during a commit into the next, and syncs it as soon as that ended", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    const first = track([queue.append(bytes("first\n"))]);
    await settle();
    const next = track(["a\n", "b\n"].map((text) => queue.append(bytes(text))));
    await settle();
    const third = track([queue.append(bytes("c\n"))]);
    await settle();
    expect(sink.commits).toEqual([["first\n"]]);
    await sink.end();
    expect([first, next, third].flat()).toEqual(["done", "waits", "waits", "waits"]);
    expect(sink.commits).toEqual([["first\n"], ["a\nb\nc\n"]]);
    await sink.end();
    expect([next, third].flat()).toEqual(["done", "done", "done"]);
    expect(sink.parallelMax).toBe(1);
  });

  test("rejects exactly the batch that failed; the next one goes on", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    const failed = track([queue.append(bytes("a\n")), queue.append(bytes("b\n"))]);
    await settle();
    const next = track([queue.append(bytes("c\n"))]);
    await sink.end(new StorageError("disk full"));
    expect(failed).toEqual(["disk full", "disk full"]);
    expect(next).toEqual(["waits"]);
    expect(sink.commits.at(-1)).toEqual(["c\n"]);
    await sink.end();
    expect(next).toEqual(["done"]);
    const later = track([queue.append(bytes("d\n"))]);
    await settle();
    await sink.end();
    expect(later).toEqual(["done"]);
  });

  test("rejects a batch whose sink throws at once, and goes on", async () => {
    let calls = 0;
    const sink: Sink = {
      commit() {
        if (++calls === 1) throw new StorageError("no folder");
        return Promise.resolve();
      },
      pace: { companyMs: 0, batchBytes: Infinity, parallel: 1 },
      probe: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    const queue = queueOf(sink);
    await expect(queue.append(bytes("a\n"))).rejects.toThrow("no folder");
    await queue.append(bytes("b\n"));
    expect(calls).toBe(2);
  });

  test("loses no append between the end of a run and idle", async () => {
    // Once, an append in the turn in which the queue went idle was never committed.
    for (let turns = 0; turns < 40; turns++) {
      let commits = 0;
      const sink: Sink = {
        pace: { companyMs: 0, batchBytes: Infinity, parallel: 1 },
        probe: () => Promise.resolve(),
        commit: () => Promise.resolve(void commits++),
        close: () => Promise.resolve(),
      };
      const queue = queueOf(sink);
      const first = queue.append(bytes("a\n"));
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      const outcomes = track([first, queue.append(bytes("b\n"))]);
      await settle();
      expect([turns, ...outcomes]).toEqual([turns, "done", "done"]);
      // And the one that is made by who was just told of its commit.
      const chained = track([queue.append(bytes("c\n")).then(() => queue.append(bytes("d\n")))]);
      await settle();
      expect([turns, ...chained]).toEqual([turns, "done"]);
    }
  });

  test("close commits what waits, then closes the sink, and rejects what is appended later", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    const running = track([queue.append(bytes("a\n"))]);
    await settle();
    const waiting = track([queue.append(bytes("b\n"))]);
    let closed = false;
    const close = queue.close().then(() => closed = true);
    const late = track([queue.append(bytes("c\n"))]);
    await sink.end();
    expect([sink.closed, closed]).toEqual([0, false]);
    await sink.end();
    await close;
    expect(sink.closed).toBe(1);
    expect([running, waiting, late].flat()).toEqual([
      "done",
      "done",
      "Cannot append: the queue is closed",
    ]);
    expect(sink.commits).toEqual([["a\n"], ["b\n"]]);
    await expect(queue.append(bytes("d\n"))).rejects.toBeInstanceOf(StorageError);
  });

  test("close of an idle queue closes the sink at once, and rolls nothing later", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    await queue.close();
    queue.roll();
    await settle();
    expect([sink.closed, sink.commits.length]).toEqual([1, 0]);
  });

  test("close after a failed commit still closes the sink", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    const outcomes = track([queue.append(bytes("a\n"))]);
    await settle();
    const close = queue.close();
    await sink.end(new StorageError("disk full"));
    await close;
    expect([sink.closed, ...outcomes]).toEqual([1, "disk full"]);
  });
});

describe("roll", () => {
  test("gives the sink a commit without frames when nothing waits", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    queue.roll();
    await settle();
    expect(sink.commits).toEqual([[]]);
    await sink.end();
    expect(sink.parallel).toBe(0);
  });

  test("never runs parallel to a commit: it comes behind it, once", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    const outcomes = track([queue.append(bytes("a\n"))]);
    await settle();
    queue.roll();
    queue.roll();
    await settle();
    expect(sink.commits).toEqual([["a\n"]]);
    await sink.end();
    expect(sink.commits).toEqual([["a\n"], []]);
    // And no commit runs parallel to it.
    const next = track([queue.append(bytes("b\n"))]);
    await settle();
    expect(sink.commits.length).toBe(2);
    await sink.end();
    await sink.end();
    expect([sink.parallelMax, ...outcomes, ...next]).toEqual([1, "done", "done"]);
    expect(sink.commits.length).toBe(3);
  });

  test("that fails disturbs nobody", async () => {
    const sink = new HeldSink();
    const queue = queueOf(sink);
    queue.roll();
    await settle();
    await sink.end(new StorageError("disk full"));
    const outcomes = track([queue.append(bytes("a\n"))]);
    await settle();
    await sink.end();
    expect(outcomes).toEqual(["done"]);
  });
});

describe("waiting for company", () => {
  async function oneCommit(queue: CommitQueue, sink: HeldSink, text: string): Promise<void> {
    const append = queue.append(bytes(text));
    await settle();
    await sink.end();
    await append;
  }

  test("isn't done by the first batch, nor after a pause", async () => {
    const clock = handClock();
    const sink = new HeldSink();
    const queue = new CommitQueue(sink, clock);
    await oneCommit(queue, sink, "a\n");
    clock.nowMs += limits.companyMs;
    await oneCommit(queue, sink, "b\n");
    expect(clock.sleeps).toEqual([]);
  });

  test("is done by a small batch that follows the last one: what is left of the time", async () => {
    const clock = handClock();
    const sink = new HeldSink();
    const queue = new CommitQueue(sink, clock);
    await oneCommit(queue, sink, "a\n");
    clock.nowMs += 3;
    const outcomes = track([queue.append(bytes("b\n"))]);
    await settle();
    expect(clock.sleeps).toEqual([limits.companyMs - 3]);
    expect(sink.commits.length).toBe(1);
    const company = track([queue.append(bytes("c\n"))]);
    await clock.endSleep();
    expect(sink.commits).toEqual([["a\n"], ["b\nc\n"]]);
    await sink.end();
    expect([...outcomes, ...company]).toEqual(["done", "done"]);
    expect(clock.sleeps.length).toBe(1);
  });

  test("isn't done by a batch that is worth a sync of its own", async () => {
    const clock = handClock();
    const sink = new HeldSink();
    const queue = new CommitQueue(sink, clock);
    await oneCommit(queue, sink, "a\n");
    await oneCommit(queue, sink, `${"x".repeat(limits.smallBatchBytes - 1)}\n`);
    expect(clock.sleeps).toEqual([]);
    const small = track([queue.append(bytes(`${"x".repeat(limits.smallBatchBytes - 2)}\n`))]);
    await settle();
    expect(clock.sleeps).toEqual([limits.companyMs]);
    await clock.endSleep();
    await sink.end();
    expect(small).toEqual(["done"]);
  });

  test("forgets the bytes of the last batch", async () => {
    const clock = handClock();
    const sink = new HeldSink();
    const queue = new CommitQueue(sink, clock);
    await oneCommit(queue, sink, "x".repeat(limits.smallBatchBytes));
    track([queue.append(bytes("b\n"))]);
    await settle();
    expect(clock.sleeps).toEqual([limits.companyMs]);
  });

  test("doesn't keep close from committing what waits", async () => {
    const clock = handClock();
    const sink = new HeldSink();
    const queue = new CommitQueue(sink, clock);
    await oneCommit(queue, sink, "a\n");
    const outcomes = track([queue.append(bytes("b\n"))]);
    await settle();
    const close = queue.close();
    await clock.endSleep();
    await sink.end();
    await close;
    expect([sink.closed, ...outcomes]).toEqual([1, "done"]);
  });
});

describe("a sink that takes several commits at a time", () => {
  const setUp = () => {
    const sink = new HeldSink();
    sink.pace = { companyMs: 500, batchBytes: 100, parallel: 3 };
    const clock = handClock();
    return { sink, clock, queue: new CommitQueue(sink, clock) };
  };
  const full = (letter: string) => bytes(`${letter.repeat(99)}\n`);

  test("gets as many as it wants and no more", async () => {
    const { sink, queue } = setUp();
    for (const letter of "abcde") {
      track([queue.append(full(letter))]);
      await settle();
    }
    expect([sink.commits.length, sink.parallelMax]).toEqual([3, 3]);
    await sink.end();
    expect(sink.commits.length).toBe(4);
    expect(sink.commits[3]![0]).toBe(`${"d".repeat(99)}\n${"e".repeat(99)}\n`);
    await sink.end();
    await sink.end();
    await sink.end();
    expect([sink.parallelMax, sink.parallel]).toEqual([3, 0]);
  });

  test("gets a batch that has become full without waiting any longer", async () => {
    const { sink, clock, queue } = setUp();
    track([queue.append(bytes("a\n"))]);
    await settle();
    track([queue.append(bytes("b\n"))]);
    await settle();
    expect([sink.commits.length, ...clock.sleeps]).toEqual([1, 500]);
    track([queue.append(full("c"))]);
    await settle();
    expect(sink.commits[1]).toEqual([`b\n${"c".repeat(99)}\n`]);
  });

  test("is closed only when all of them have ended", async () => {
    const { sink, queue } = setUp();
    track([queue.append(full("a"))]);
    await settle();
    track([queue.append(full("b"))]);
    await settle();
    const close = queue.close();
    await sink.end();
    expect(sink.closed).toBe(0);
    await sink.end();
    await close;
    expect(sink.closed).toBe(1);
  });

  test("is asked nothing and given nothing while others of its commits run, after one failed", async () => {
    const { sink, queue } = setUp();
    track([queue.append(full("a"))]);
    await settle();
    const other = track([queue.append(full("b"))]);
    await settle();
    sink.probes = [new StorageError("still down")];
    await sink.end(new StorageError("no bucket"));
    track([queue.append(full("c"))]);
    await settle();
    expect([sink.commits.length, sink.probes.length]).toEqual([2, 1]);
    await sink.end();
    await settle();
    expect([sink.commits.length, sink.probes.length, queue.problem?.message])
      .toEqual([2, 0, "still down"]);
    expect(other).toEqual(["done"]);
  });
});

describe("a storage that takes no writes", () => {
  /** A queue whose sink has just failed, and then says `probes` when it is asked. */
  async function failed(...probes: Array<Error | undefined>) {
    const sink = new HeldSink();
    sink.probes = probes;
    const clock = handClock();
    const changes: Array<string | undefined> = [];
    const queue = new CommitQueue(sink, {
      ...clock,
      changed: (problem) => changes.push(problem?.message),
    });
    const first = track([queue.append(bytes("a\n"))]);
    await settle();
    const second = track([queue.append(bytes("b\n"))]);
    await sink.end(new StorageError("disk full"));
    return { sink, clock, changes, queue, outcomes: () => [...first, ...second] };
  }

  test("and says that it does, when asked at once, is given what waited", async () => {
    const { sink, clock, changes, queue, outcomes } = await failed(undefined);
    expect([...outcomes(), queue.problem]).toEqual(["disk full", "waits", undefined]);
    await clock.endSleep();
    await sink.end();
    expect(outcomes()).toEqual(["disk full", "done"]);
    expect([sink.commits.at(-1), changes]).toEqual([["b\n"], []]);
  });

  test("is a problem that everybody is told at once, until a probe works", async () => {
    const down = new StorageError("no space");
    const { sink, clock, changes, queue, outcomes } = await failed(down, down, undefined);
    expect([queue.problem?.message, ...outcomes()]).toEqual(["no space", "disk full", "no space"]);
    await expect(queue.append(bytes("c\n"))).rejects.toThrow("no space");
    expect([sink.commits.length, clock.sleeps]).toEqual([1, [limits.probeMs]]);
    await clock.endSleep();
    expect([queue.problem?.message, clock.sleeps.length]).toEqual(["no space", 2]);
    await clock.endSleep();
    expect([queue.problem, changes]).toEqual([undefined, ["no space", undefined]]);
    const later = track([queue.append(bytes("d\n"))]);
    await settle();
    await sink.end();
    expect([sink.commits.at(-1), ...later]).toEqual([["d\n"], "done"]);
  });

  test("doesn't keep a queue from closing", async () => {
    const down = new StorageError("no space");
    const { sink, clock, queue } = await failed(down, down);
    const close = queue.close();
    await clock.endSleep();
    await close;
    expect(sink.closed).toBe(1);
  });
});

describe("waitedMs", () => {
  test("is the age of the oldest block that isn't durable", async () => {
    const clock = handClock();
    const sink = new HeldSink();
    const queue = new CommitQueue(sink, clock);
    expect(queue.waitedMs).toBe(0);
    track([queue.append(bytes("a\n"))]);
    clock.nowMs += 20;
    await settle();
    clock.nowMs += 30;
    track([queue.append(bytes("b\n"))]);
    clock.nowMs += 50;
    expect(queue.waitedMs).toBe(100);
    await sink.end();
    expect(queue.waitedMs).toBe(50);
    await sink.end();
    expect(queue.waitedMs).toBe(0);
  });
});

test("a block may come in parts, which stay together", async () => {
  const sink = new HeldSink();
  const queue = queueOf(sink);
  track([queue.append(bytes("#1 head\n"), bytes("a\n")), queue.append(bytes("b\n"))]);
  await settle();
  expect(sink.commits).toEqual([["#1 head\na\nb\n"]]);
});

test("the memory of texts is used again, whatever became of them", async () => {
  let made = 0;
  const sink = new HeldSink();
  sink.commit = () => made % 2 ? Promise.reject(new StorageError("disk full")) : Promise.resolve();
  const memory = () => {
    made++;
    return new ArrayBuffer(limits.frameTextBytesMax);
  };
  const clock = { now: () => 0, sleep: () => Promise.resolve() };
  const queue = new CommitQueue(sink, { ...clock, texts: { memory, full: () => {} } });
  for (let i = 0; i < 5; i++) await queue.append(bytes("a\n")).catch(() => {});
  expect(made).toBe(1);
});

test("a text that is full is told of while a commit runs: else it is about to be committed", async () => {
  const told: number[] = [];
  const held = Promise.withResolvers<void>();
  const sink = new HeldSink();
  sink.commit = () => held.promise;
  const memory = () => new ArrayBuffer(limits.frameTextBytesMax);
  const clock = { now: () => 0, sleep: () => new Promise<void>(() => {}) };
  const texts = { memory, full: (text: Uint8Array) => void told.push(text.length) };
  const queue = new CommitQueue(sink, { ...clock, texts });
  const [first, second] = [limits.frameTextBytesEnough, limits.frameTextBytesEnough + 1];
  const appended = [queue.append(new Uint8Array(first))];
  expect(told).toEqual([]);
  await settle();
  appended.push(queue.append(new Uint8Array(second)));
  expect(told).toEqual([second]);
  held.resolve();
  await Promise.all(appended);
});
