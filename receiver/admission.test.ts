import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { Admission, type AdmissionOptions, type Mode, Refusal } from "./admission.ts";

function setUp(options: Partial<AdmissionOptions["budget"]> = {}) {
  const state = { nowMs: 1_000, problem: undefined as Error | undefined, waitedMs: 0, memory: 0 };
  const admission = new Admission({
    budget: { liveStreams: 4, bulkStreams: 2, liveBytes: 1_000, bulkBytes: 1_000, ...options },
    bulkBytesPerSec: 8 * limits.liveBurstBytes,
    commits: {
      get problem() {
        return state.problem;
      },
      get waitedMs() {
        return state.waitedMs;
      },
    },
    memoryShare: () => state.memory,
    nowMs: () => state.nowMs,
    random: () => 0.5,
  });
  const admit = (name: string, mode: Mode = "live", acksLive = true) =>
    admission.admit(
      { thumbprint: `thumb-${name}`, device: { thumbprint: `thumb-${name}`, name, labels: {} } },
      mode,
      acksLive,
    );
  return { admission, state, admit };
}

/** The code of the refusal that `act` throws or rejects with. */
async function refusal(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    if (error instanceof Refusal) return `${error.code} ${error.status}`;
    throw error;
  }
  return "admitted";
}

const ending = (signal: AbortSignal) => (signal.reason as Refusal | undefined)?.code;

describe("slots", () => {
  test("are of one mode, and come back with the stream, once", async () => {
    const { admission, admit } = setUp();
    const streams = ["a", "b", "c", "d"].map((name) => admit(name));
    expect(await refusal(() => admit("e"))).toBe("busy 503");
    expect(await refusal(() => admit("e", "bulk"))).toBe("admitted");
    streams[0]![Symbol.dispose]();
    streams[0]![Symbol.dispose]();
    expect([admission.open("live"), admission.open("bulk")]).toEqual([3, 1]);
    expect(await refusal(() => admit("e"))).toBe("admitted");
    expect(await refusal(() => admit("f"))).toBe("busy 503");
  });

  test("are there, however slow the storage is: only fewer may start", async () => {
    const { state, admit } = setUp({ liveStreams: limits.startingStreamsMin });
    state.waitedMs = 2 * limits.slowCommitMs;
    const starting = limits.startingStreamsMin / 2;
    for (let i = starting + 1; i < limits.startingStreamsMin; i++) admit(`idle${i}`);
    expect(await refusal(() => admit("e"))).toBe("admitted");
  });

  test("are for streams that get on: those without anything durable are bounded by themselves", async () => {
    const { state, admission, admit } = setUp({ liveStreams: 10 * limits.startingStreamsMax });
    const starting = (name: string) => {
      const stream = admit(name);
      stream.chunk(1);
      stream.chunk(1);
      return stream;
    };
    for (let i = 0; i < limits.startingStreamsMax; i++) admit(`idle${i}`);
    const streams = Array.from({ length: limits.startingStreamsMin }, (_, i) => starting(`d${i}`));
    expect(await refusal(() => admit("e"))).toBe("busy 503");
    expect(await refusal(() => admission.assertRoom("bulk"))).toBe("busy 503");
    streams[0]!.started();
    streams[0]!.started();
    streams[0]![Symbol.dispose]();
    streams[1]![Symbol.dispose]();
    for (const name of ["e", "f"]) expect(await refusal(() => starting(name))).toBe("admitted");
    expect(await refusal(() => admit("g"))).toBe("busy 503");
    for (const stream of streams.slice(2, 10)) stream.started();
    state.waitedMs = 2 * limits.slowCommitMs;
    expect(await refusal(() => admit("g"))).toBe("busy 503");
  });

  test("are for as many that start as get on in time, up to a limit", async () => {
    const inTime = 400 * limits.startingMs / 1000;
    for (const [perSec, most] of [[400, inTime], [10_000, limits.startingStreamsMax]] as const) {
      const { admission, admit } = setUp({ liveStreams: 10 * limits.startingStreamsMax });
      for (let i = 0; i < perSec * limits.drainMs / 1000; i++) {
        using stream = admit("one");
        stream.chunk(1);
        stream.started();
      }
      const start = () => admit(`d${admission.open("live")}`).chunk(1);
      for (let i = 0; i < most; i++) start();
      expect(await refusal(start)).toBe("busy 503");
    }
  });

  test("are for no more to start because others ended before they got on", async () => {
    const { admission, admit } = setUp({ liveStreams: 10 * limits.startingStreamsMax });
    for (let i = 0; i < limits.drainMs; i++) {
      using stream = admit("one");
      stream.chunk(1);
    }
    const start = () => admit(`d${admission.open("live")}`).chunk(1);
    for (let i = 0; i < limits.startingStreamsMin; i++) start();
    expect(await refusal(start)).toBe("busy 503");
  });

  test("are none while the program's memory is over its limit, and the newest live streams end", async () => {
    const { admission, state, admit } = setUp({ liveStreams: 1_000 });
    const streams = Array.from({ length: 2 * limits.turnShare }, (_, i) => admit(`d${i}`));
    state.memory = 1;
    admission.look();
    expect(await refusal(() => admit("e"))).toBe("admitted");
    state.memory = 1.01;
    admission.look();
    expect(await refusal(() => admit("f"))).toBe("busy 503");
    expect(streams.map(({ cut }) => ending(cut.signal)).filter(Boolean)).toEqual(["busy", "busy"]);
    state.memory = 0.9;
    admission.look();
    expect(await refusal(() => admit("f"))).toBe("admitted");
  });

  test("go from the oldest live streams to as many others as found none", async () => {
    const { admission, admit } = setUp({ liveStreams: 90 });
    admit("curl", "live", false);
    const streams = Array.from({ length: 89 }, (_, i) => admit(`d${i}`));
    const ended = () => streams.filter(({ cut }) => ending(cut.signal) === "age");
    admission.look();
    expect(ended()).toEqual([]);
    for (const name of ["e", "f"]) expect(await refusal(() => admit(name))).toBe("busy 503");
    admission.look();
    expect(ended()).toEqual(streams.slice(0, 2));
    for (const stream of ended()) stream[Symbol.dispose]();
    admission.look();
    expect(ended().length).toBe(2);
  });

  test("change hands at a pace, however many found none", async () => {
    const { admission, admit } = setUp({ liveStreams: 90 });
    const streams = Array.from({ length: 90 }, (_, i) => admit(`d${i}`));
    for (let i = 0; i < 1_000; i++) expect(await refusal(() => admit("e"))).toBe("busy 503");
    admission.look();
    expect(streams.filter(({ cut }) => ending(cut.signal) === "age").length)
      .toBe(Math.ceil(90 / limits.turnShare));
  });

  test("are none while the storage takes no writes", async () => {
    const { state, admission, admit } = setUp();
    state.problem = new Error("no space");
    expect(await refusal(() => admit("a"))).toBe("storage 503");
    expect(await refusal(() => admission.assertRoom("bulk"))).toBe("storage 503");
    state.problem = undefined;
    expect(await refusal(() => admit("a"))).toBe("admitted");
  });
});

describe("a device's share", () => {
  test("is one bulk stream", async () => {
    const { admit } = setUp();
    const first = admit("a", "bulk");
    expect(await refusal(() => admit("a", "bulk"))).toBe("share 503");
    expect(await refusal(() => admit("a", "live"))).toBe("admitted");
    expect(await refusal(() => admit("b", "bulk"))).toBe("admitted");
    first[Symbol.dispose]();
    expect(await refusal(() => admit("a", "bulk"))).toBe("admitted");
  });

  test("is so many streams in all, which come back", async () => {
    const { admit } = setUp({ liveStreams: 1_000 });
    const streams = Array.from({ length: limits.deviceStreamsMax }, () => admit("a"));
    expect(await refusal(() => admit("a"))).toBe("share 503");
    expect(await refusal(() => admit("b"))).toBe("admitted");
    for (const stream of streams) stream[Symbol.dispose]();
    expect(await refusal(() => admit("a"))).toBe("admitted");
  });
});

describe("a live stream", () => {
  test("that sends like a bulk one is ended; one that sends its burst and its rate isn't", async () => {
    const { state, admit } = setUp({ liveBytes: 4 * limits.liveBurstBytes });
    const stream = admit("a");
    const room = async (bytes: number) => (await stream.room(bytes)).release();
    await room(limits.liveBurstBytes);
    for (let second = 0; second < 100; second++) {
      state.nowMs += 1_000;
      await room(limits.liveBytesPerSec);
    }
    state.nowMs += 900;
    expect(await refusal(() => room(limits.liveBytesPerSec))).toBe("too_fast 429");
  });

  test("that finds no memory for its text is ended rather than stalled", async () => {
    const { admit } = setUp();
    const [a, b] = [admit("a"), admit("b")];
    const held = await a.room(950);
    expect(await refusal(() => b.room(100))).toBe("busy 503");
    held.release();
    expect(await refusal(() => b.room(100))).toBe("admitted");
  });

  test("is ended before memory is full if it is among the newest", async () => {
    const { state, admit } = setUp({ liveStreams: 1_000 });
    const old = admit("old");
    const newer = Array.from({ length: 2 * limits.shedShare - 1 }, (_, i) => admit(`n${i}`));
    const quiet = admit("curl", "live", false);
    const held = await old.room(800);
    await old.room(10);
    expect(newer.map(({ cut }) => ending(cut.signal)).filter(Boolean)).toEqual(["busy", "busy"]);
    expect(newer.slice(-2).every(({ cut }) => cut.signal.aborted)).toBe(true);
    // Once in a while: what was cut has to have its effect first.
    await old.room(10);
    expect(newer.filter(({ cut }) => cut.signal.aborted).length).toBe(2);
    for (const stream of newer.slice(-2)) stream[Symbol.dispose]();
    state.nowMs += limits.shedMs;
    await old.room(10);
    expect(newer.filter(({ cut }) => cut.signal.aborted).length).toBe(4);
    expect([old, quiet].some(({ cut }) => cut.signal.aborted)).toBe(false);
    held.release();
  });

  test("is ended at its age, one that waits for its status isn't", () => {
    const { admission, state, admit } = setUp();
    const [live, end] = [admit("a"), admit("b", "live", false)];
    state.nowMs += 1.5 * limits.streamAgeMs;
    admission.look();
    expect(live.cut.signal.aborted).toBe(false);
    state.nowMs += 1;
    admission.look();
    expect([ending(live.cut.signal), end.cut.signal.aborted]).toEqual(["age", false]);
  });
});

describe("a stream that dribbles or stalls", () => {
  test("is ended when a block isn't whole in time, whatever its mode", () => {
    for (const mode of ["live", "bulk"] as const) {
      const { admission, state, admit } = setUp();
      const stream = admit("a", mode);
      stream.chunk(1);
      state.nowMs += limits.blockMsMax;
      stream.chunk(1);
      admission.look();
      expect(stream.cut.signal.aborted).toBe(false);
      state.nowMs += 1;
      admission.look();
      expect([ending(stream.cut.signal), (stream.cut.signal.reason as Refusal).status])
        .toEqual(["too_slow", 408]);
    }
  });

  test("isn't one whose blocks are whole, however seldom they come", async () => {
    const { admission, state, admit } = setUp();
    const stream = admit("a");
    for (let block = 0; block < 4; block++) {
      admission.look();
      stream.chunk(1);
      (await stream.room(1)).release();
      state.nowMs += limits.blockMsMax * 2;
    }
    expect(stream.cut.signal.aborted).toBe(false);
  });
});

describe("a block that isn't whole", () => {
  const big = { liveBytes: 8 * limits.deviceHeldBytesMax, liveStreams: 100 };

  test("takes room among the text in flight, until it is whole or its stream ends", async () => {
    const { admission, admit } = setUp(big);
    const used = () => admission.bytes.live.permits - admission.bytes.live.available;
    const [a, b] = [admit("a"), admit("b")];
    a.chunk(limits.liveStreamBytes);
    expect(used()).toBe(0);
    a.chunk(1);
    b.chunk(100_000);
    expect(used()).toBe(limits.liveStreamBytes + 1 + 100_000);
    const room = await a.room(5);
    expect(used()).toBe(100_005);
    room.release();
    b[Symbol.dispose]();
    expect(used()).toBe(0);
  });

  test("is the end of its stream where there is no room for it", () => {
    const { admit } = setUp({ liveBytes: 50_000 });
    const [a, b] = [admit("a"), admit("b")];
    a.chunk(40_000);
    b.chunk(40_000);
    expect([a, b].map(({ cut }) => ending(cut.signal))).toEqual([undefined, "busy"]);
  });

  test("counts against its device, which can't take all the room by saying nothing", () => {
    const { admit } = setUp(big);
    const streams = Array.from({ length: 8 }, () => admit("a"));
    for (const stream of streams) stream.chunk(limits.uploadFrameBytesMax - 1);
    const endings = streams.map(({ cut }) => ending(cut.signal));
    expect(endings.filter((code) => code === "share").length).toBe(5);
    const other = admit("b");
    other.chunk(limits.uploadFrameBytesMax - 1);
    expect(ending(other.cut.signal)).toBeUndefined();
  });

  test("of a bulk stream has its place already", () => {
    const { admission, admit } = setUp();
    admit("a", "bulk").chunk(1_000_000);
    expect(admission.bytes.bulk.available).toBe(1_000);
  });
});

describe("a bulk stream", () => {
  test("waits for memory, in turn, and stops waiting when it is cut", async () => {
    const { admission, admit } = setUp();
    const [a, b] = [admit("a", "bulk"), admit("b", "bulk")];
    const held = await a.room(1_000);
    const waits = b.room(500);
    held.release();
    (await waits).release();
    const again = await a.room(1_000);
    const cut = refusal(() => b.room(500));
    admission.cutRevoked((thumbprint) => thumbprint !== "thumb-b");
    expect(await cut).toBe("revoked 503");
    again.release();
    expect(admission.bytes.bulk.available).toBe(1_000);
  });

  test("over its rate is slowed, and stops waiting when it is cut", async () => {
    const { admission, admit } = setUp({ bulkBytes: 1e12 });
    const stream = admit("a", "bulk");
    (await stream.room(8 * limits.liveBurstBytes)).release();
    const startMs = performance.now();
    (await stream.room(limits.liveBurstBytes / 4)).release();
    expect(performance.now() - startMs).toBeGreaterThan(20);
    const waits = refusal(() => stream.room(8e9));
    void admission.stop();
    expect(await waits).toBe("stopping 503");
    stream[Symbol.dispose]();
  });

  test("isn't in the way of a live one when it holds all the memory of its mode", async () => {
    const { admit } = setUp();
    await admit("a", "bulk").room(1_000);
    expect(await refusal(() => admit("b").room(500))).toBe("admitted");
  });
});

describe("stop", () => {
  test("ends what is open, refuses what comes, and resolves when all has gone", async () => {
    const { admission, admit } = setUp();
    const stream = admit("a");
    let stopped = false;
    const stop = admission.stop().then(() => stopped = true);
    expect([ending(stream.cut.signal), admission.stopping]).toEqual(["stopping", true]);
    expect(await refusal(() => admit("b"))).toBe("stopping 503");
    expect(stopped).toBe(false);
    stream[Symbol.dispose]();
    await stop;
  });
});

test("who is refused comes back at the rate at which streams are let in", () => {
  const { admission, admit } = setUp();
  for (let i = 0; i < 200 * limits.drainMs / 1000; i++) admit("one")[Symbol.dispose]();
  const times = Array.from({ length: 801 }, () => admission.retryAfterSec());
  expect([times[399], times[400], times[800]]).toEqual([1, 2, 3]);
});
