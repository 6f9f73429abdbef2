import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { formatRecord, type LogRecord, unescapeText } from "../shared/record.ts";
import { readUploadFrame } from "../shared/upload.ts";
import { settle } from "../tests/fixtures.ts";
import { Encoder } from "./encoder.ts";
import { LinesSource } from "./lines.ts";

function setUp(chunks: Array<string | Uint8Array> = [], { open = false } = {}) {
  let cancelled = false;
  const input = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(Buffer.from(chunk as string));
      if (!open) controller.close();
    },
    cancel: () => void (cancelled = true),
  });
  let usec = 100;
  const names = { source: "app:demo", boot: "b1" };
  const source = new LinesSource({ ...names, input, nowUs: () => usec++, sleep: settle });
  return { source, cancelled: () => cancelled };
}

async function readAll(source: LinesSource): Promise<LogRecord[]> {
  const all: LogRecord[] = [];
  for (let some = await source.read(); some; some = await source.read()) all.push(...some);
  return all;
}

describe("lines on standard input", () => {
  test("become records, numbered from 0 and stamped with the kernel's clock", async () => {
    const { source } = setUp(["one\ntw", "o\r\n\nlast without an end"]);
    expect((await readAll(source)).map(formatRecord)).toEqual([
      "14,0,100,-;one\n",
      "14,1,101,-;two\n",
      "14,2,102,-;\n",
      "14,3,103,-;last without an end\n",
    ]);
    expect([source.source, source.boot]).toEqual(["app:demo", "b1"]);
  });

  test("are escaped as the kernel does, and read back as they were", async () => {
    const line = "caf\u00e9 \\ \t \x1b[31mred\u{1f600} # ;,";
    const [record] = await readAll(setUp([`${line}\n`]).source);
    expect(record!.text).toBe(
      "caf\\xc3\\xa9 \\x5c \\x09 \\x1b[31mred\\xf0\\x9f\\x98\\x80 # ;,",
    );
    expect(unescapeText(record!.text)).toBe(line);
  });

  test("can't forge a record, a continuation line or a header", async () => {
    const lines = ["#1 d b s t 0 0 0 0", " KEY=value", "6,7,8,g,first=0,last=9,count=10;x", "#end"];
    const records = await readAll(setUp([lines.join("\n")]).source);
    expect(records.map(formatRecord)).toEqual(
      lines.map((line, seq) => `14,${seq},${100 + seq},-;${line}\n`),
    );
  });

  test("have a stream id of their own in each run", () => {
    const ids = Array.from({ length: 10 }, () => setUp().source.stream);
    expect(new Set(ids).size).toBe(10);
    expect(ids[0]).toMatch(/^[0-9a-f]{18}$/);
  });

  test("that are very long go out in pieces, each of which fits an upload's frame", async () => {
    // A line of 1 MiB was once one record, which no receiver takes.
    const line = "\u00e9".repeat(1_500_000);
    const records = await readAll(setUp([line]).source);
    expect(records.map(({ text }) => unescapeText(text)).join("") === line).toBe(true);
    const encoder = new Encoder();
    for (const record of records) {
      encoder.add(record);
      if (!encoder.full) continue;
      const { header, decodedBytes } = readUploadFrame(encoder.take().bytes);
      expect(header.count).toBeGreaterThan(0);
      expect(decodedBytes).toBeLessThanOrEqual(limits.uploadFrameTextBytesMax);
    }
    expect(limits.flushBytes + 4 * limits.rawLineBytesMax + 100)
      .toBeLessThan(limits.uploadFrameTextBytesMax);
  });

  test("that were printed before the source is closed are read, also half of one", async () => {
    // It once threw away what it had taken from the pipe.
    const { source } = setUp(["one\n", "two\nthr", "ee\nfour"], { open: true });
    source.close();
    expect((await readAll(source)).map(({ text }) => text)).toEqual([
      "one",
      "two",
      "three",
      "four",
    ]);
  });

  test("end where the source is closed, even in the middle of a wait", async () => {
    const { source, cancelled } = setUp(["one\n"], { open: true });
    expect((await source.read())!.length).toBe(1);
    const waiting = source.read();
    source.close();
    expect(await waiting).toBeUndefined();
    expect(await source.read()).toBeUndefined();
    await settle();
    expect(cancelled()).toBe(true);
  });
});
