import { randomBytes } from "node:crypto";
import { describe, expect, test } from "bun:test";
import { FakeClock, settle } from "../../tests/fixtures.ts";
import { endText } from "../block.ts";
import { limits } from "../limits.ts";
import { decodeSegment } from "../segment_reader.ts";
import { blockText, frameOf, Reader } from "./contract.ts";
import { S3Storage } from "./s3.ts";
import { connectionReset, FakeS3, type Proceed, s3Error, silence } from "./s3_fake.ts";
import { epochKey, type EpochWriter } from "./storage.ts";

/** What it rejects with. (Bun's `rejects` runs the event loop by itself, and may keep it from going on.) */
const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => expect.unreachable(), (error: unknown) => error);

async function open(s3 = new FakeS3(), more: { nowMs?: () => number } = {}) {
  const clock = new FakeClock();
  const options = { bucket: "b", prefix: "", client: s3.client, clock, ...more };
  const storage = new S3Storage({ ...options, random: Math.random });
  const epoch = await storage.createEpoch("r1");
  s3.requests.length = 0;
  /** Lets time pass until it settles. */
  const passing = async <T>(promise: Promise<T>): Promise<T> => {
    let done = false;
    const end = () => void (done = true);
    promise.then(end, end);
    await clock.until(() => done, 60_000);
    return await promise;
  };
  return { s3, storage, epoch, clock, passing, reader: new Reader(new S3Storage(options)) };
}

const one = (seq: number) => [frameOf(blockText("d1", seq))];
const text = (seq: number) => blockText("d1", seq);
const isNumber = (key: string, segment: number) =>
  key.endsWith(`/${String(segment).padStart(8, "0")}.zst`);

/** The sizes of an epoch's objects by their numbers. */
function sizes(s3: FakeS3, epoch: EpochWriter): Map<number, number> {
  const prefix = `segments/${epochKey(epoch)}/`;
  const keys = [...s3.objects.keys()].filter((k) => k.startsWith(prefix) && k.endsWith(".zst"));
  return new Map(
    keys.sort().map((k) => [Number(k.slice(-12, -4)), s3.objects.get(k)!.length]),
  );
}

describe("an epoch on S3", () => {
  test("puts a commit into objects of at most 8 MiB that end with `#end`", async () => {
    const { s3, epoch, reader } = await open();
    const texts = Array.from({ length: 24 }, (_, seq) => {
      const noise = randomBytes(400_000).toString("hex");
      return `#1 d b s t 1 ${seq} ${seq} 1\n6,${seq},1,-;${noise}\n`;
    });
    await epoch.commit(texts.map(frameOf));
    expect([...sizes(s3, epoch).keys()]).toEqual([0, 1]);
    for (const bytes of s3.objects.values()) {
      expect(bytes.length).toBeLessThanOrEqual(limits.s3ObjectBytesMax);
      if (bytes.length > 100) expect(decodeSegment(bytes).at(-1)).toEqual({ text: endText });
    }
    await reader.readOn();
    expect(reader.of(epoch)).toEqual(texts);
  });

  test("acknowledges in turn, also when the second PUT arrives before the first", async () => {
    const { s3, epoch, reader } = await open();
    const gate = Promise.withResolvers<void>();
    s3.between = async ({ key, verb }, proceed) => {
      if (verb === "PUT" && isNumber(key, 0)) await gate.promise;
      return proceed();
    };
    const settled: number[] = [];
    const commits = [1, 2].map((seq) => epoch.commit(one(seq)).then(() => settled.push(seq)));
    await settle();
    expect([...sizes(s3, epoch).keys()]).toEqual([1]);
    expect(settled).toEqual([]);
    expect(await reader.readOn()).toEqual([]);
    gate.resolve();
    await Promise.all(commits);
    expect(settled).toEqual([1, 2]);
    expect(await reader.readOn()).toEqual([text(1), text(2)]);
  });

  test("has a bounded number of PUTs under way", async () => {
    const { s3, epoch } = await open();
    let now = 0;
    let most = 0;
    s3.between = async (_request, proceed) => {
      most = Math.max(most, ++now);
      await settle();
      now--;
      return proceed();
    };
    await Promise.all(Array.from({ length: 20 }, (_, seq) => epoch.commit(one(seq))));
    expect(most).toBe(limits.s3PutsMax);
    expect(sizes(s3, epoch).size).toBe(20);
  });

  test.each([
    ["503 SlowDown", () => s3Error("SlowDown", 503)],
    ["500 InternalError", () => s3Error("InternalError", 500)],
    ["409 ConditionalRequestConflict", () => s3Error("ConditionalRequestConflict", 409)],
    ["400 RequestTimeout", () => s3Error("RequestTimeout", 400)],
    ["a broken connection", connectionReset],
  ])("tries again after %s", async (_name, failure) => {
    const { s3, epoch, reader, passing } = await open();
    s3.between = ({ verb, earlier }, proceed) => {
      if (verb === "PUT" && earlier < 2) throw failure();
      return proceed();
    };
    await passing(epoch.commit(one(1)));
    expect(s3.requests.filter((r) => r.startsWith("PUT")).length).toBe(3);
    expect(await reader.readOn()).toEqual([text(1)]);
  });

  test("doesn't try again what the server has refused", async () => {
    const { s3, epoch } = await open();
    s3.between = () => {
      throw s3Error("AccessDenied", 403);
    };
    expect(await rejection(epoch.commit(one(1)))).toMatchObject({ code: "storage" });
    expect(s3.requests.length).toBe(1);
  });

  test("stores once what arrived before the connection broke", async () => {
    const { s3, epoch, reader, passing } = await open();
    s3.between = ({ verb, earlier }, proceed) => {
      const answer = proceed();
      if (verb === "PUT" && earlier === 0) throw connectionReset();
      return answer;
    };
    await passing(epoch.commit(one(1)));
    await passing(epoch.commit(one(2)));
    expect(await reader.readOn()).toEqual([text(1), text(2)]);
    expect([...sizes(s3, epoch).keys()]).toEqual([0, 1]);
  });

  test("doesn't acknowledge because of something else that has its number", async () => {
    const { s3, epoch, reader } = await open();
    const key = `segments/${epochKey(epoch)}/00000000.zst`;
    s3.objects.set(key, frameOf(text(7)));
    expect(await rejection(epoch.commit(one(1)))).toMatchObject({ code: "storage" });
    await epoch.commit(one(2));
    expect(await reader.readOn()).toEqual([text(7), text(2)]);
  });

  /** PUTs of number 0 are never answered; what they would have done is kept. */
  function hangFirst(s3: FakeS3): Proceed[] {
    const late: Proceed[] = [];
    s3.between = (request, proceed) => {
      const isData = late.length < 3 && request.verb === "PUT" && isNumber(request.key, 0);
      if (!isData) return proceed();
      late.push(proceed);
      return silence(request);
    };
    return late;
  }

  test("rejects in time what hangs, closes its number, and shuts out the PUT that comes late", async () => {
    const { s3, epoch, reader, clock, passing } = await open();
    const late = hangFirst(s3);
    const { between } = s3;
    const signals: AbortSignal[] = [];
    s3.between = (request, proceed) => {
      signals.push(request.signal);
      return between(request, proceed);
    };
    expect(await rejection(passing(epoch.commit(one(1))))).toMatchObject({
      code: "storage",
      status: 503,
    });
    expect(signals.every((signal) => signal.aborted)).toBe(true);
    expect(clock.monotonicMs()).toBeLessThanOrEqual(limits.s3RequestMs + 100);
    expect(late.length).toBeGreaterThan(1);
    s3.between = (_, proceed) => proceed();
    await epoch.commit(one(2));
    expect(sizes(s3, epoch).get(0)).toBe(0);
    for (const arrive of late) expect(arrive).toThrow("PreconditionFailed");
    expect(await reader.readOn()).toEqual([text(2)]);
    expect(reader.damage).toEqual([]);
  });

  test("takes a late PUT that comes before its number is closed for closing it", async () => {
    const { s3, epoch, reader, passing } = await open();
    const late = hangFirst(s3);
    expect(await rejection(passing(epoch.commit(one(1))))).toMatchObject({ code: "storage" });
    late[0]!();
    s3.between = (_, proceed) => proceed();
    await epoch.commit(one(2));
    expect(await reader.readOn()).toEqual([text(1), text(2)]);
    for (const arrive of late.slice(1)) expect(arrive).toThrow("PreconditionFailed");
  });

  test.each(["ignored", "refused"] as const)(
    "loses nothing acknowledged where conditions are %s and PUTs come late",
    async (conditions) => {
      const s3 = new FakeS3();
      s3.conditions = conditions;
      const { epoch, reader, passing } = await open(s3);
      const late = hangFirst(s3);
      expect(await rejection(passing(epoch.commit(one(1))))).toMatchObject({ code: "storage" });
      s3.between = (_, proceed) => proceed();
      await epoch.commit(one(2));
      expect(await reader.readOn()).toEqual([text(2)]);
      late.at(-1)!();
      await epoch.commit(one(3));
      expect(await reader.readOn()).toEqual([text(3)]);
      const again = new Reader(new S3Storage({ bucket: "b", prefix: "", client: s3.client }));
      expect(await again.readOn()).toEqual([text(1), text(2), text(3)]);
      expect(again.damage).toEqual([]);
    },
  );

  test("acknowledges what is behind a number that was given up once that is closed", async () => {
    const { s3, epoch, reader } = await open();
    const gate = Promise.withResolvers<void>();
    let refused = 0;
    s3.between = async ({ key, verb }, proceed) => {
      if (verb !== "PUT" || !isNumber(key, 0)) return proceed();
      if (refused++ === 0) throw s3Error("AccessDenied", 403);
      await gate.promise;
      return proceed();
    };
    const first = epoch.commit(one(1)).then(() => "stored", () => "rejected");
    let second = "waits";
    const done = epoch.commit(one(2)).then(() => second = "stored");
    expect(await first).toBe("rejected");
    await settle();
    expect([...sizes(s3, epoch).keys()]).toEqual([1]);
    expect(second).toBe("waits");
    expect(await reader.readOn()).toEqual([]);
    gate.resolve();
    await done;
    expect(await reader.readOn()).toEqual([text(2)]);
  });

  test("rejects what is stored behind a number that can't be closed; a probe closes it later", async () => {
    const { s3, epoch, reader } = await open();
    s3.between = ({ key, verb }, proceed) => {
      if (verb === "PUT" && isNumber(key, 0)) throw s3Error("AccessDenied", 403);
      return proceed();
    };
    const outcomes = await Promise.allSettled([1, 2, 3].map((seq) => epoch.commit(one(seq))));
    expect(outcomes.map((o) => o.status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(await reader.readOn()).toEqual([]);
    expect(await rejection(epoch.probe())).toMatchObject({ code: "storage" });
    s3.between = (_, proceed) => proceed();
    await epoch.probe();
    await epoch.commit(one(4));
    expect(await reader.readOn()).toEqual([text(2), text(3), text(4)]);
    expect(sizes(s3, epoch).get(0)).toBe(0);
  });

  test("has commits settle in the order of their calls, whether they succeed or fail", async () => {
    const { s3, epoch } = await open();
    s3.between = async ({ key, verb, earlier }, proceed) => {
      if (verb !== "PUT") return proceed();
      for (let wait = 8 - Number(key.slice(-12, -4)); wait > 0; wait--) await settle();
      if (/[147]\.zst$/.test(key) && earlier === 0) throw s3Error("AccessDenied", 403);
      return proceed();
    };
    const settled: number[] = [];
    const commits = Array.from(
      { length: 8 },
      (_, n) => epoch.commit(one(n)).then(() => n, () => -n).then((how) => settled.push(how)),
    );
    await Promise.all(commits);
    expect(settled).toEqual([0, -1, 2, 3, -4, 5, 6, -7]);
  });

  test("resolves an empty commit without a request", async () => {
    const { s3, epoch } = await open();
    await epoch.commit([]);
    expect(s3.requests).toEqual([]);
  });

  test("probes by writing, also when no number is open", async () => {
    const { s3, epoch, passing } = await open();
    await epoch.probe();
    expect(s3.requests).toEqual([`PUT segments/${epochKey(epoch)}/committed`]);
    s3.between = silence;
    expect(await rejection(passing(epoch.probe()))).toMatchObject({ code: "storage" });
  });

  test("goes on by itself in a bucket that was deleted and made again", async () => {
    const { s3, epoch, reader } = await open();
    await epoch.commit(one(1));
    await reader.readOn();
    s3.exists = false;
    s3.objects.clear();
    expect(String(await rejection(epoch.commit(one(2))))).toContain("no such bucket");
    expect(String(await rejection(epoch.probe()))).toContain("no such bucket");
    s3.exists = true;
    await epoch.probe();
    await epoch.commit(one(3));
    expect(await reader.readOn()).toEqual([text(3)]);
  });

  test("leaves other epochs alone", async () => {
    const { s3, epoch, passing } = await open();
    const late = hangFirst(s3);
    await passing(epoch.commit(one(1))).catch(() => {});
    await passing(epoch.probe());
    await epoch.close();
    expect(late.length).toBeGreaterThan(0);
    const own = `PUT segments/${epochKey(epoch)}/`;
    expect(s3.requests.filter((r) => r.startsWith("PUT ") && !r.startsWith(own))).toEqual([]);
  });

  test("loses nothing that was acknowledged when its process is killed between two PUTs", async () => {
    const { s3, epoch, reader } = await open();
    await epoch.commit(one(1));
    s3.between = (request, proceed) =>
      request.verb === "PUT" && isNumber(request.key, 1) ? silence(request) : proceed();
    void epoch.commit(one(2)).catch(() => {});
    void epoch.commit(one(3)).catch(() => {});
    await settle();
    s3.between = (_, proceed) => proceed();
    // What is left is what another process finds: 0, 2, and a hole.
    const next = await open(s3);
    await next.epoch.commit(one(2));
    await next.epoch.commit(one(3));
    await reader.readOn();
    expect(reader.of(epoch)).toEqual([text(1)]);
    expect(reader.of(next.epoch)).toEqual([text(2), text(3)]);
  });

  test("says now and then which numbers are closed, and never of one that isn't", async () => {
    let nowMs = Date.UTC(2026, 10, 22);
    const { s3, epoch } = await open(new FakeS3(), { nowMs: () => nowMs });
    const committed = () => s3.objects.get(`segments/${epochKey(epoch)}/committed`)!.toString();
    for (let seq = 0; seq < 3; seq++) await epoch.commit(one(seq));
    expect(committed()).toBe("00000000 0\n");
    nowMs += limits.s3CommittedMs;
    s3.between = ({ key }, proceed) => {
      if (isNumber(key, 4)) throw s3Error("AccessDenied", 403);
      return proceed();
    };
    await epoch.commit(one(3));
    expect(committed()).toBe("00000003 0\n");
    const outcomes = await Promise.allSettled([4, 5].map((seq) => epoch.commit(one(seq))));
    expect(outcomes.map((o) => o.status)).toEqual(["rejected", "rejected"]);
    nowMs += limits.s3CommittedMs;
    await epoch.commit(one(6)).catch(() => {});
    expect(committed()).toBe("00000004 0\n");
    s3.between = (_, proceed) => proceed();
    await epoch.probe();
    expect(committed()).toBe("00000007 0\n");
  });

  test("doesn't say of a number on its way that it is closed", async () => {
    let nowMs = Date.UTC(2026, 10, 22);
    const { s3, epoch } = await open(new FakeS3(), { nowMs: () => nowMs });
    const gate = Promise.withResolvers<void>();
    s3.between = async ({ key }, proceed) => {
      if (isNumber(key, 1)) await gate.promise;
      return proceed();
    };
    const first = epoch.commit(one(0));
    const others = [epoch.commit(one(1))];
    await first;
    nowMs += limits.s3CommittedMs;
    others.push(epoch.commit(one(2)));
    await settle();
    const committed = s3.objects.get(`segments/${epochKey(epoch)}/committed`)!.toString();
    expect(committed).toBe("00000001 0\n");
    gate.resolve();
    await Promise.all(others);
  });

  test("acknowledges what is stored before a number that can't be closed", async () => {
    const { s3, epoch } = await open();
    s3.between = async ({ key, verb }, proceed) => {
      if (verb === "PUT" && isNumber(key, 0)) await settle();
      if (verb === "PUT" && isNumber(key, 1)) throw s3Error("AccessDenied", 403);
      return proceed();
    };
    const outcomes = await Promise.allSettled([0, 1].map((seq) => epoch.commit(one(seq))));
    expect(outcomes.map((o) => o.status)).toEqual(["fulfilled", "rejected"]);
  });

  test("acknowledges what is stored also where `committed` can't be put", async () => {
    let nowMs = Date.UTC(2026, 10, 22);
    const { s3, epoch, reader } = await open(new FakeS3(), { nowMs: () => nowMs });
    await epoch.commit(one(0));
    nowMs += limits.s3CommittedMs;
    s3.between = ({ verb, key }, proceed) => {
      if (verb === "PUT" && key.endsWith("committed")) throw s3Error("AccessDenied", 403);
      return proceed();
    };
    await epoch.commit(one(1));
    expect(await reader.readOn()).toEqual([text(0), text(1)]);
  });

  test("ends with an object that holds `#end` alone, and says in `committed` that it has ended", async () => {
    const { s3, epoch, storage } = await open();
    await epoch.commit(one(1));
    await epoch.close();
    const extents = await storage.list(new Map());
    expect(extents.map((e) => [e.segment, e.final])).toEqual([[0, true], [1, true]]);
    const last = await storage.read(extents[1]!, 0, extents[1]!.length);
    expect(decodeSegment(last)).toEqual([{ text: endText }]);
    const committed = s3.objects.get(`segments/${epochKey(epoch)}/committed`)!;
    expect(committed.toString()).toBe(`00000001 ${extents[1]!.length} end\n`);
  });

  test("rejects to close while a number is open, and closes later", async () => {
    const { s3, epoch, reader } = await open();
    s3.between = ({ key }, proceed) => {
      if (isNumber(key, 0)) throw s3Error("AccessDenied", 403);
      return proceed();
    };
    expect(await rejection(epoch.commit(one(1)))).toMatchObject({ code: "storage" });
    expect(await rejection(epoch.close())).toMatchObject({ code: "storage" });
    s3.between = (_, proceed) => proceed();
    await epoch.close();
    expect(await reader.readOn()).toEqual([]);
    expect(s3.objects.get(`segments/${epochKey(epoch)}/committed`)!.toString()).toMatch(/ end\n$/);
  });
});
