import { expect, test } from "bun:test";
import { TextLineStream, type TextLineStreamOptions, toBytes, toText } from "@std/streams";

function streamOf<T>(chunks: Iterable<T>): ReadableStream<T> {
  const iterator = chunks[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { value, done } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

async function linesOf(chunks: Iterable<string>, options?: TextLineStreamOptions) {
  const lines: string[] = [];
  const stream = streamOf(chunks).pipeThrough(new TextLineStream(options));
  for await (const line of stream) lines.push(line);
  return lines;
}

test("a line stream splits at \\n and \\r\\n, wherever the chunks end", async () => {
  expect(await linesOf(["one\ntw", "o\r", "\nthree", "\n", "\n", "fo", "ur"])).toEqual(
    ["one", "two", "three", "", "four"],
  );
});

test("a line stream makes no line of nothing, and none after the last end", async () => {
  expect(await linesOf([])).toEqual([]);
  expect(await linesOf(["", ""])).toEqual([]);
  expect(await linesOf(["a\n"])).toEqual(["a"]);
  expect(await linesOf(["\n"])).toEqual([""]);
});

test("a line stream keeps a lone \\r unless it is told that it ends a line", async () => {
  expect(await linesOf(["a\rb\r", "c\r"])).toEqual(["a\rb\rc\r"]);
  expect(await linesOf(["a\rb\r", "c\r"], { allowCR: true })).toEqual(["a", "b", "c"]);
  expect(await linesOf(["a\r", "\nb\r", "\rc"], { allowCR: true })).toEqual(["a", "b", "", "c"]);
});

/** The algorithm of JSR's @std/streams 1, word by word but for the stream around it. */
function slowTwin(chunks: string[], allowCR: boolean): string[] {
  const lines: string[] = [];
  let current = "";
  for (const chunk of chunks) {
    let chars = current + chunk;
    while (true) {
      const lfIndex = chars.indexOf("\n");
      const crIndex = allowCR ? chars.indexOf("\r") : -1;
      if (
        crIndex !== -1 && crIndex !== chars.length - 1 &&
        (lfIndex === -1 || lfIndex - 1 > crIndex)
      ) {
        lines.push(chars.slice(0, crIndex));
        chars = chars.slice(crIndex + 1);
        continue;
      }
      if (lfIndex === -1) break;
      lines.push(chars.slice(0, chars[lfIndex - 1] === "\r" ? lfIndex - 1 : lfIndex));
      chars = chars.slice(lfIndex + 1);
    }
    current = chars;
  }
  if (current === "") return lines;
  return [...lines, allowCR && current.endsWith("\r") ? current.slice(0, -1) : current];
}

/** A repeatable source of integers below n (Lehmer, MINSTD). */
function seeded(seed: number): (n: number) => number {
  return (n) => (seed = (seed * 48271) % 0x7fffffff) % n;
}

test("a line stream equals std's algorithm on random text and chunks", async () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = seeded(seed);
    const piece = () => ["a", "\r", "\n", "\r\n", "é"][random(5)]!;
    const chunks = Array.from(
      { length: random(8) },
      () => Array.from({ length: random(6) }, piece).join(""),
    );
    for (const allowCR of [false, true]) {
      expect([seed, chunks, await linesOf(chunks, { allowCR })]).toEqual(
        [seed, chunks, slowTwin(chunks, allowCR)],
      );
    }
  }
});

test("a line stream cuts a line at its bound in bytes, between characters", async () => {
  const options = { lineBytesMax: 8 };
  expect(await linesOf(["12345678\n123456789\n"], options)).toEqual(["12345678", "12345678", "9"]);
  expect(await linesOf(["ééééé\n"], options)).toEqual(["éééé", "é"]);
  expect(await linesOf(["1234567é\n"], options)).toEqual(["1234567", "é"]);
  expect(await linesOf(["12345😀6\n"], options)).toEqual(["12345", "😀6"]);
  expect(await linesOf(["123456789"], options)).toEqual(["12345678", "9"]);
});

test("a line stream counts no line's end against the bound, in one chunk or two", async () => {
  const options = { lineBytesMax: 4 };
  expect(await linesOf(["1234\r\n5\n"], options)).toEqual(["1234", "5"]);
  expect(await linesOf(["1234\r", "\n5\n"], options)).toEqual(["1234", "5"]);
  expect(await linesOf(["1234\r"], options)).toEqual(["1234", "\r"]);
});

test("a line stream's pieces make the whole line again, and none is over the bound", async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seeded(seed);
    const lineBytesMax = 4 + random(9);
    const piece = () => ["a", "é", "€", "😀", "\r"][random(5)]!;
    const chunks = Array.from(
      { length: 1 + random(8) },
      () => Array.from({ length: random(9) }, piece).join(""),
    );
    const lines = await linesOf(chunks, { lineBytesMax });
    expect([seed, lines.join("")]).toEqual([seed, chunks.join("")]);
    const sizes = lines.map((line) => new TextEncoder().encode(line).length);
    expect([seed, Math.max(0, ...sizes) <= lineBytesMax]).toEqual([seed, true]);
    expect([seed, lines.includes("")]).toEqual([seed, false]);
  }
});

test("a line stream without a line's end gives pieces as it goes", async () => {
  function* endless() {
    for (let i = 0; i < 64; i++) yield "x".repeat(64 * 1024);
  }
  const lines = await linesOf(endless());
  expect(lines.map((line) => line.length)).toEqual(Array(4).fill(1024 * 1024));
});

test("a line stream takes a bound below one character for a programmer's mistake", () => {
  expect(() => new TextLineStream({ lineBytesMax: 3 })).toThrow("up to 4 bytes");
});

test("a stream of bytes or strings becomes one text, characters cut by chunks made whole", async () => {
  const bytes = new TextEncoder().encode("a€b");
  expect(await toText(streamOf([bytes.slice(0, 2), bytes.slice(2)]))).toBe("a€b");
  expect(await toText(streamOf(["a", "€b"]))).toBe("a€b");
  expect(await toText(streamOf([]))).toBe("");
});

test("a stream of bytes becomes one array", async () => {
  const bytes = await toBytes(streamOf([Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)]));
  expect(bytes).toEqual(Uint8Array.of(1, 2, 3));
});

test("a stream that fails fails its text and its bytes", async () => {
  const failing = () => new ReadableStream({ pull: (c) => c.error(new Error("cut off")) });
  await expect(toText(failing())).rejects.toThrow("cut off");
  await expect(toBytes(failing())).rejects.toThrow("cut off");
});
