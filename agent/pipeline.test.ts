import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { gapRecord, type LogRecord, parseGap } from "../shared/record.ts";
import { FakeNetwork, type FakePost } from "../tests/fake_network.ts";
import { FakeClock, ordinary, settle, TemporaryFolder } from "../tests/fixtures.ts";
import { Checkpoint, recordHash } from "./checkpoint.ts";
import { runPipeline } from "./pipeline.ts";
import type { Source } from "./source.ts";
import { KmsgSource } from "./kmsg.ts";

const minute = 60_000;

/** A source whose records the test gives. */
class HandSource implements Source {
  boot = "b1";
  source = "kmsg";
  stream = "b1";
  reads = 0;
  #given: Array<LogRecord[] | undefined> = [];
  #wake = Promise.withResolvers<void>();

  give(...records: LogRecord[]): void {
    this.#given.push(records);
    this.#wake.resolve();
  }

  async read(): Promise<LogRecord[] | undefined> {
    this.reads++;
    while (this.#given.length === 0) {
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
    return this.#given.shift();
  }

  close(): void {
    this.#given.push(undefined);
    this.#wake.resolve();
  }
}

function setUp(
  onPost: (post: FakePost) => unknown,
  { source = new HandSource(), checkpoint }: { source?: Source; checkpoint?: Checkpoint } = {},
) {
  const clock = new FakeClock();
  const network = new FakeNetwork(onPost);
  const run = () =>
    runPipeline({
      source,
      checkpoint,
      receivers: ["http://one"],
      token: () => Promise.resolve("token"),
      kernelUs: () => 1_000,
      wallSynced: () => true,
      report: () => {},
      clock,
      random: () => 0.5,
      fetch: network.fetch,
    });
  return { clock, network, run, source };
}

/** Printable text that zstd makes hardly smaller. */
function incompressible(length: number): string {
  return randomBytes(length).toString("base64").slice(0, length);
}

describe("a pipeline", () => {
  test("sends lines within the flush time, in one frame", async () => {
    const source = new HandSource();
    const { clock, network, run } = setUp(() => {}, { source });
    void run();
    await settle();
    source.give(ordinary(0));
    await clock.advance(limits.flushMs - 1);
    source.give(ordinary(1), ordinary(2));
    expect(network.last.seqs).toEqual([]);
    await clock.advance(1);
    expect(network.last.seqs).toEqual([0, 1, 2]);
    expect(network.last.frameEnds.length).toBe(2); // And the clock record's.
  });

  test("sends a full frame at once", async () => {
    const source = new HandSource();
    const { network, run } = setUp(() => {}, { source });
    void run();
    source.give(ordinary(0, "x".repeat(limits.flushBytes)));
    await settle();
    expect(network.last.seqs).toEqual([0]);
  });

  test("waits as long as the receiver asks for, within the limit", async () => {
    for (
      const [asked, waited] of [[3_000, 3_000], [60_000, limits.flushMsMax], [0, limits.flushMs]]
    ) {
      const source = new HandSource();
      const { clock, network, run } = setUp(() => {}, { source });
      void run();
      await settle();
      network.last.line({ acked: network.last.decodedBytes, flush_ms: asked! });
      await settle();
      source.give(ordinary(0));
      await clock.advance(waited! - 1);
      expect([asked, network.last.seqs]).toEqual([asked, []]);
      await clock.advance(1);
      expect([asked, network.last.seqs]).toEqual([asked, [0]]);
    }
  });

  test("lets the source wait while it is offline, whether its lines come fast or slowly", async () => {
    // Slow lines were once taken without end: only full frames waited for room.
    for (const [lines, pauseMs] of [[50, 0], [1, limits.flushMs + 10]] as const) {
      const source = new HandSource();
      const { clock, run } = setUp((post) => post.fail("no route"), { source });
      void run();
      const lineBytes = 40_000;
      let given = 0;
      for (let reads = -1; reads !== source.reads;) {
        reads = source.reads;
        const records = Array.from(
          { length: lines },
          () => ordinary(given++, incompressible(lineBytes)),
        );
        source.give(...records);
        await clock.advance(pauseMs);
        await settle();
        expect(given * lineBytes).toBeLessThan(3 * limits.spoolBytesMax);
      }
      expect(given * lineBytes).toBeGreaterThan(limits.spoolBytesMax / 2);
    }
  });

  test("saves what was acknowledged, with the hash of that record", async () => {
    using folder = new TemporaryFolder();
    const checkpoint = new Checkpoint(join(folder.path, "c.json"));
    const source = new HandSource();
    const { run } = setUp((post) => post.accept(), { source, checkpoint });
    const records = [ordinary(7), ordinary(8, "the last")];
    source.give(...records);
    source.close();
    await run();
    expect(await checkpoint.load())
      .toEqual({ boot: "b1", stream: "b1", seq: 8, hash: recordHash(records[1]!) });
  });

  test("saves nothing of what was only sent", async () => {
    using folder = new TemporaryFolder();
    const checkpoint = new Checkpoint(join(folder.path, "c.json"));
    const source = new HandSource();
    const { clock, network, run } = setUp(() => {}, { source, checkpoint });
    void run();
    source.give(ordinary(0));
    await clock.advance(limits.flushMs);
    expect(network.last.seqs).toEqual([0]);
    expect(await checkpoint.load()).toBeUndefined();
  });

  test("ends when its source has ended and all of it is acknowledged", async () => {
    const source = new HandSource();
    const { network, run } = setUp((post) => post.accept(), { source });
    source.give(ordinary(0), ordinary(1));
    source.close();
    await run(); // Without waiting for the flush time.
    expect(network.posts.flatMap(({ seqs }) => seqs)).toEqual([0, 1]);
  });
});

test("a gap record acknowledged, the agent killed, the missing records sent after all", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "c.json");
  const first = new HandSource();
  const { clock, network, run } = setUp(() => {}, {
    source: first,
    checkpoint: new Checkpoint(path),
  });
  void run();
  first.give(ordinary(0));
  await clock.advance(limits.flushMs);
  network.last.line({ acked: network.last.decodedBytes });
  // Records 1 to 4 seem to be lost, which is said, and acknowledged; then the agent is killed.
  first.give(gapRecord(5, 9, { first: 1, last: 4, count: 4, cause: "lost" }));
  await clock.advance(limits.flushMs);
  expect(network.last.records.map(parseGap).filter(Boolean).length).toBe(1);
  network.last.line({ acked: network.last.decodedBytes });
  await clock.advance(minute / 2); // Time for a mistake.
  let position = await new Checkpoint(path).load();
  while (!position) position = await new Checkpoint(path).load();
  expect(position.seq).toBe(0);

  // Its successor finds them in the ring.
  const lines = [0, 1, 2, 3, 4, 5].map((seq) => `6,${seq},${seq},-;line ${seq}\n`);
  const source = new KmsgSource({
    ring: {
      next() {
        const text = lines.shift();
        if (lines.length === 0) source.close();
        return text === undefined ? { kind: "empty" } : { kind: "record", text };
      },
      oldestSeq: () => undefined,
      close: () => {},
    },
    boot: "b1",
    clock: { observe: () => {} },
    position,
    sleep: () => Promise.resolve(),
  });
  const checkpoint = new Checkpoint(path);
  const next = setUp((post) => post.accept(), { source, checkpoint });
  const ended = next.run();
  await next.clock.advance(minute);
  await ended;
  const sent = next.network.posts.flatMap(({ records }) => records);
  expect(sent.filter(({ flag }) => flag !== "s").map(({ seq, flag }) => `${flag}${seq}`))
    .toEqual(["-1", "-2", "-3", "-4", "-5"]);
  expect((await checkpoint.load())!.seq).toBe(5);
});
