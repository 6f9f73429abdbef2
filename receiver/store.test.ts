import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import type { Settled } from "../shared/commit_queue_batch.ts";
import { Permit } from "../shared/semaphore.ts";
import type { UploadBlock } from "../shared/upload.ts";
import type { Stream } from "./admission.ts";
import { Cut } from "./cut.ts";
import { storeUpload } from "./store.ts";

/** A queue that the test settles, and a stream that has room. */
function setUp() {
  const cut = new Cut();
  const seen = { texts: [] as string[], durable: [] as number[], started: 0, released: 0, cut };
  const settle: Settled[] = [];
  const upload = {
    names: { device: "d", boot: "b", source: "kmsg", stream: "s" },
    stream: {
      cut,
      room: () => new Permit(() => seen.released++),
      started: () => seen.started++,
    } as unknown as Stream,
    durable: (bytes: number) => seen.durable.push(bytes),
  };
  const store = {
    commits: {
      add(parts: readonly Uint8Array[], settled: Settled) {
        seen.texts.push(Buffer.concat(parts).toString());
        settle.push(settled);
      },
    },
    metrics: { received: () => {} },
    nowUs: () => 7,
  };
  return { seen, settle, upload, store };
}

const header = { first: 0, last: 0, count: 1 };

/** A block whose memory holds its header line and its records. */
function block(text: string): UploadBlock {
  const all = new Uint8Array(Buffer.from(`#0 0 0 1\n${text}`));
  return { header, records: all.subarray(9), decodedBytes: all.length };
}

async function* all(blocks: UploadBlock[]): AsyncGenerator<UploadBlock> {
  yield* blocks;
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

describe("storing an upload", () => {
  test("puts each block under a header, and lets go of its memory", async () => {
    const { seen, settle, upload, store } = setUp();
    const records = ["a\n", "b\n"].map(block);
    const buffers = records.map((one) => one.records.buffer);
    const stored = storeUpload(all(records), upload, store);
    await turn();
    expect(seen.texts).toEqual(["#1 d b kmsg s 7 0 0 1\na\n", "#1 d b kmsg s 7 0 0 1\nb\n"]);
    expect(buffers.map((buffer) => buffer.byteLength)).toEqual([0, 0]);
    settle.forEach((settled) => settled());
    expect(await stored).toBe(22);
    expect([seen.durable, seen.started, seen.released]).toEqual([[11, 22], 2, 2]);
  });

  test("acknowledges nothing behind a block that failed, and ends the stream for that", async () => {
    const { seen, settle, upload, store } = setUp();
    const stored = storeUpload(all(["a\n", "b\n", "c\n"].map(block)), upload, store)
      .catch((error) => error);
    await turn();
    const full = new Error("disk full");
    settle.forEach((settled, i) => settled(i === 1 ? full : undefined));
    expect(await stored).toBe(full);
    expect([seen.durable, seen.released, seen.cut.signal.reason]).toEqual([[11], 3, full]);
  });

  test("of a body that breaks still acknowledges what was read of it", async () => {
    const { seen, settle, upload, store } = setUp();
    async function* broken() {
      yield block("a\n");
      throw new Error("gone");
    }
    const stored = storeUpload(broken(), upload, store).catch((error: Error) => error.message);
    await turn();
    expect(seen.durable).toEqual([]);
    settle[0]!();
    expect([await stored, seen.durable]).toEqual(["gone", [11]]);
  });
});
