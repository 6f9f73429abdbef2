import { Buffer } from "node:buffer";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "bun:test";
import { endText } from "./block.ts";
import { limits } from "./limits.ts";
import {
  decodeSegment,
  type Read,
  readExtent,
  readFrames,
  readNew,
  splitFrames,
} from "./segment_reader.ts";
import {
  type Cursor,
  type Cursors,
  epochKey,
  type EpochName,
  type Extent,
  type Storage,
  StorageError,
} from "./storage/storage.ts";
import { blockText, frameOf, seeded } from "./storage/contract.ts";
import { decompressFrame } from "./zstd.ts";

const KiB = 1024;
const name: EpochName = { receiver: "r1", epoch: "20261122T202134.123Z-a0000000" };

/** Segments in memory, which the test changes as it likes. */
class Memory implements Storage {
  readonly segments = new Map<number, Buffer>();
  /** The newest segment isn't final until the epoch has ended. */
  ended = false;
  /** What `list` says of a segment's length, where that isn't its length. */
  readonly promised = new Map<number, number>();
  readBytesMax = 0;
  /** Segments and offsets that can't be read. */
  readonly broken: Array<[segment: number, offset: number]> = [];

  constructor(readonly epoch = name) {}

  createEpoch(): never {
    throw new Error("nobody writes here");
  }

  list(after: Cursors): Promise<Extent[]> {
    const from = after.get(epochKey(this.epoch))?.segment ?? 0;
    const numbers = [...this.segments.keys()].sort((a, b) => a - b);
    const newest = numbers.at(-1);
    return Promise.resolve(
      numbers.filter((segment) => segment >= from).map((segment) => ({
        ...this.epoch,
        segment,
        length: this.promised.get(segment) ?? this.segments.get(segment)!.length,
        final: segment !== newest || this.ended,
      })),
    );
  }

  read(at: EpochName & { segment: number }, offset: number, length: number): Promise<Uint8Array> {
    this.readBytesMax = Math.max(this.readBytesMax, length);
    const isBroken = this.broken.some(([segment, from]) =>
      segment === at.segment && offset >= from
    );
    if (isBroken) return Promise.reject(new StorageError(`EIO in ${at.epoch} ${at.segment}`));
    const bytes = this.segments.get(at.segment)!.subarray(offset, offset + length);
    return Promise.resolve(Buffer.from(bytes));
  }

  watch(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }
}

/** A segment's items, after asserting that they lie one behind the other without a gap. */
async function readSegment(bytes: Buffer, from = 0, promised = bytes.length): Promise<Read[]> {
  const memory = new Memory();
  memory.segments.set(0, bytes);
  const reads: Read[] = [];
  const extent = { ...name, segment: 0, length: promised, final: false };
  for await (const read of readExtent(memory, extent, from)) reads.push(read);
  let at = from;
  for (const read of reads) {
    expect(read.offset).toBe(at);
    expect(read.length).toBeGreaterThan(0);
    at += read.length;
    expect(read.next).toEqual({ segment: 0, offset: at });
    expect(read).toMatchObject(name);
  }
  expect(at).toBe(promised);
  expect(memory.readBytesMax).toBeLessThanOrEqual(limits.readBytes);
  return reads;
}

function textsOf(reads: Read[]): string[] {
  return reads.flatMap(({ text }) => text === undefined ? [] : [text]);
}

function damageOf(reads: Read[]): Array<[number, number]> {
  return reads.flatMap((read) => read.damage === undefined ? [] : [[read.offset, read.length]]);
}

/** A frame of that many bytes, about: a text that doesn't compress. */
function bigText(seq: number, bytes: number): string {
  const random = seeded(seq);
  const noise = Buffer.from(Array.from({ length: bytes }, () => 0x80 + Math.floor(random() * 128)));
  return `${blockText("d1", seq)}6,0,0,-;${noise.toString("latin1")}\n`;
}

const texts = [1, 2, 3, 4].map((seq) => blockText("d1", seq, 300));
const frames = texts.map(frameOf);

describe("a segment", () => {
  test("reads as its frames' texts; `#end` is no text", async () => {
    const reads = await readSegment(Buffer.concat([...frames, frameOf(endText)]));
    expect(reads.map(({ text }) => text)).toEqual([...texts, undefined]);
    expect(reads.map(({ length }) => length)).toEqual([...frames.map((f) => f.length), 18]);
    expect(damageOf(reads)).toEqual([]);
  });

  test("is read from any frame on", async () => {
    const bytes = Buffer.concat(frames);
    let from = 0;
    for (const [i, frame] of frames.entries()) {
      expect(textsOf(await readSegment(bytes, from))).toEqual(texts.slice(i));
      from += frame.length;
    }
    expect(await readSegment(bytes, from)).toEqual([]);
  });

  test("that is final moves the cursor to the next one, with an item of no length", async () => {
    const memory = new Memory();
    memory.segments.set(7, frames[0]!);
    const extent = { ...name, segment: 7, length: frames[0]!.length, final: true };
    for (const from of [0, extent.length]) {
      const reads: Read[] = [];
      for await (const read of readExtent(memory, extent, from)) reads.push(read);
      expect(reads.at(-1)).toEqual({
        ...name,
        segment: 7,
        offset: extent.length,
        length: 0,
        next: { segment: 8, offset: 0 },
      });
      expect(reads.length).toBe(from === 0 ? 2 : 1);
    }
  });

  test("keeps bytes that are no UTF-8 as they are", async () => {
    const text = "#1 d b s t 1 0 0 0\n\xff\xfe\x00\x80\n";
    expect(textsOf(await readSegment(frameOf(text)))).toEqual([text]);
    expect(decodeSegment(Buffer.concat([frameOf(text), Buffer.from("x")]))).toEqual([
      { text },
      { damage: "the frame is cut short" },
    ]);
  });
});

describe("damage", () => {
  const [first, second, third, fourth] = frames as [Buffer, Buffer, Buffer, Buffer];

  test("in the middle of a segment is set aside with its place; the rest is read", async () => {
    for (let at = 0; at < second.length; at++) {
      const broken = Buffer.from(second);
      broken[at]! ^= 0x55;
      const reads = await readSegment(Buffer.concat([first, broken, third, fourth]));
      expect(textsOf(reads)).toEqual([texts[0]!, texts[2]!, texts[3]!]);
      expect(damageOf(reads)).toEqual([[first.length, second.length]]);
    }
  });

  test("of a block's size, which swallows the frames behind it, costs only that frame", async () => {
    const broken = Buffer.from(second);
    const block = 7; // Behind magic, descriptor and a content size of 2 bytes.
    expect(broken[4]! >> 6).toBe(1);
    for (const size of [1, 60_000, 128 * KiB]) {
      broken.writeUIntLE((size << 3) | 4 | 1, block, 3);
      const reads = await readSegment(Buffer.concat([first, broken, third, fourth]));
      expect(textsOf(reads)).toEqual([texts[0]!, texts[2]!, texts[3]!]);
    }
  });

  test("by bytes that are missing or too many costs only the frame that they are in", async () => {
    for (let at = 1; at < second.length; at++) {
      const missing = Buffer.concat([second.subarray(0, at), second.subarray(at + 1)]);
      const tooMany = Buffer.concat([
        second.subarray(0, at),
        Buffer.from("x"),
        second.subarray(at),
      ]);
      for (const broken of [missing, tooMany]) {
        const reads = await readSegment(Buffer.concat([first, broken, third]));
        expect(textsOf(reads)).toEqual([texts[0]!, texts[2]!]);
        expect(damageOf(reads)).toEqual([[first.length, broken.length]]);
      }
    }
  });

  test("that contains frame magic, or the head of a frame, isn't taken for one", async () => {
    const magic = Buffer.from("28b52ffd", "hex");
    const garbage = [
      magic,
      Buffer.concat([magic, magic, Buffer.from("zz"), magic.subarray(0, 3)]),
      Buffer.concat([magic, Buffer.from("2405290000236f6e640a060fbd82", "hex")]), // Checksum fails.
      second.subarray(0, second.length - 3),
      Buffer.concat([second.subarray(0, 20), third.subarray(0, 20)]),
      Buffer.from(texts[1]!),
      Buffer.alloc(100_000),
    ];
    for (const rubbish of garbage) {
      const reads = await readSegment(Buffer.concat([first, rubbish, third, fourth]));
      expect(textsOf(reads)).toEqual([texts[0]!, texts[2]!, texts[3]!]);
      expect(damageOf(reads)).toEqual([[first.length, rubbish.length]]);
    }
  });

  test("at a segment's beginning and at its end is told as well", async () => {
    const rubbish = Buffer.from("rubbish rubbish");
    const reads = await readSegment(Buffer.concat([rubbish, first, rubbish]));
    expect(textsOf(reads)).toEqual([texts[0]!]);
    expect(damageOf(reads)).toEqual([[0, 15], [15 + first.length, 15]]);
    expect(damageOf(await readSegment(rubbish))).toEqual([[0, 15]]);
  });

  test("is a tail that was cut anywhere", async () => {
    for (let cut = 1; cut < second.length; cut++) {
      const reads = await readSegment(Buffer.concat([first, second.subarray(0, cut)]));
      expect(textsOf(reads)).toEqual([texts[0]!]);
      expect(damageOf(reads)).toEqual([[first.length, cut]]);
    }
  });

  test("is a frame that isn't ours: no checksum, no content size, too much text", async () => {
    const noChecksum = zstdCompressSync(
      Buffer.from(texts[1]!),
      {
        pledgedSrcSize: texts[1]!.length,
      } as Parameters<typeof zstdCompressSync>[1],
    );
    const noSize = Buffer.from("28b52ffd00500900006162", "hex").fill(0x11, 6, 7);
    const tooLarge = frameOf("x".repeat(limits.frameTextBytesMax + 1));
    for (const frame of [noChecksum, noSize, tooLarge]) {
      const reads = await readSegment(Buffer.concat([first, frame, third]));
      expect(textsOf(reads)).toEqual([texts[0]!, texts[2]!]);
      expect(damageOf(reads)).toEqual([[first.length, frame.length]]);
    }
    const largest = "x".repeat(limits.frameTextBytesMax);
    expect(textsOf(await readSegment(frameOf(largest)))[0] === largest).toBe(true);
  });

  test("of any kind costs no frame that is whole", async () => {
    const random = seeded(20261122);
    const pick = (below: number) => Math.floor(random() * below);
    for (let round = 0; round < 300; round++) {
      const parts: Buffer[] = [];
      const whole: string[] = [];
      for (let seq = 0; seq < 12; seq++) {
        const text = blockText("d1", seq, pick(400));
        const frame = frameOf(text);
        const dice = random();
        if (dice < 0.7) whole.push(text);
        else if (dice < 0.85) frame[pick(frame.length)]! ^= 1 << pick(8);
        parts.push(dice < 0.85 ? frame : frame.subarray(0, pick(frame.length)));
        if (random() < 0.1) parts.push(Buffer.from("(\xb5/\xfd$", "latin1"));
      }
      const got = textsOf(await readSegment(Buffer.concat(parts)));
      // One whose unused header bits were changed may still be right.
      const seqs = got.map((text) => Number(/,(\d+)000,-;/.exec(text)?.[1] ?? "0"));
      expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
      expect(whole.filter((text) => !got.includes(text))).toEqual([]);
    }
  });
});

// Frames of many sizes: some end just before the border of what is read at a time, some behind it.
const many = Array.from({ length: 24 }, (_, seq) => bigText(seq, seq % 5 * 250 * KiB + 10));
const manyFrames = many.map(frameOf);
const bytesOverWindow = Buffer.concat(manyFrames);

describe("a segment larger than what is read at a time", () => {
  const bytes = bytesOverWindow;

  test("is read whole, frame by frame", async () => {
    expect(bytes.length).toBeGreaterThan(limits.readBytes);
    const reads = await readSegment(bytes);
    expect(damageOf(reads)).toEqual([]);
    expect(reads.map(({ length }) => length)).toEqual(manyFrames.map((f) => f.length));
    expect(textsOf(reads).every((text, i) => text === many[i])).toBe(true);
  });

  test("reads the same wherever the border of a window cuts a frame", async () => {
    const frame = manyFrames[9]!; // One of the largest.
    const small = frames[0]!;
    for (const before of [0, 1, 3, 4, 5, 6, 10, 17, small.length, 5_000, frame.length - 1]) {
      // Rubbish, so that the border lies so far behind the frame's beginning.
      const rubbish = Buffer.alloc(limits.readBytes - before, 0x28);
      const reads = await readSegment(Buffer.concat([rubbish, frame, small]));
      expect(textsOf(reads).map((t) => t.length)).toEqual([many[9]!.length, texts[0]!.length]);
      const damaged = damageOf(reads).reduce((sum, [, length]) => sum + length, 0);
      expect(damaged).toBe(rubbish.length);
    }
  });

  test("loses one frame to damage at a window's border", async () => {
    let at = 0;
    const over = manyFrames.findIndex((frame) => (at += frame.length) > limits.readBytes);
    const begin = at - manyFrames[over]!.length;
    for (const place of [begin, begin + 4, begin + 6, limits.readBytes, at - 1]) {
      const broken = Buffer.from(bytes);
      broken[place]! ^= 0x55;
      const reads = await readSegment(broken);
      expect(textsOf(reads).length).toBe(many.length - 1);
      const damaged = damageOf(reads).reduce((sum, [, length]) => sum + length, 0);
      expect(damaged).toBe(manyFrames[over]!.length);
    }
  });

  test("may hold damage longer than a window", async () => {
    const rubbish = Buffer.alloc(2 * limits.readBytes + 12_345, 0x28);
    const reads = await readSegment(Buffer.concat([frames[0]!, rubbish, frames[1]!, frames[2]!]));
    expect(textsOf(reads)).toEqual(texts.slice(0, 3));
    const damaged = damageOf(reads).reduce((sum, [, length]) => sum + length, 0);
    expect(damaged).toBe(rubbish.length);
  });

  test("leaves a frame that doesn't end in a window to the next one", () => {
    const cut = manyFrames[4]!.subarray(0, 100_000);
    const window = Buffer.concat([frames[0]!, cut]);
    expect([...splitFrames(window, false)].map((p) => p.end)).toEqual([frames[0]!.length]);
    expect([...splitFrames(window, true)].map((p) => p.damage)).toEqual([
      undefined,
      "the frame is cut short",
    ]);
  });
});

describe("frames that aren't decoded", () => {
  /** What comes of them if the caller does as it is told. */
  async function readByFrames(memory: Memory): Promise<Read[]> {
    const [reads, cursors] = [[] as Read[], new Map<string, Cursor>()];
    let suspect: Read | undefined;
    do {
      const all = readFrames(memory, cursors, suspect);
      suspect = undefined;
      for await (const { frame, ...read } of all) {
        let text: string | undefined;
        try {
          text = frame && decompressFrame(frame.bytes, frame.textBytes).toString("latin1");
        } catch {
          suspect = { frame, ...read } as Read;
          break;
        }
        cursors.set(epochKey(read), read.next);
        reads.push(text === undefined || text === endText ? read : { ...read, text });
      }
    } while (suspect);
    return reads;
  }

  async function readByTexts(memory: Memory): Promise<Read[]> {
    const reads: Read[] = [];
    for await (const read of readNew(memory, new Map())) reads.push(read);
    return reads;
  }

  test("come to the same reads, whatever is damaged", async () => {
    const random = seeded(20261122);
    const pick = (below: number) => Math.floor(random() * below);
    for (let round = 0; round < 200; round++) {
      const memory = new Memory();
      memory.ended = round % 2 === 0;
      for (let segment = 0; segment < 2; segment++) {
        const parts: Buffer[] = [];
        for (let seq = 0; seq < 8; seq++) {
          const frame = frameOf(blockText("d1", seq, pick(400)));
          if (random() < 0.2) frame[pick(frame.length)]! ^= 1 << pick(8);
          parts.push(random() < 0.1 ? frame.subarray(0, pick(frame.length)) : frame);
          if (random() < 0.1) parts.push(Buffer.from("(\xb5/\xfd$", "latin1"));
        }
        memory.segments.set(segment, Buffer.concat([...parts, frameOf(endText)]));
      }
      expect([round, ...await readByFrames(memory)]).toEqual([round, ...await readByTexts(memory)]);
    }
  });

  test(
    "come to the same reads in a segment of several windows, from any of its frames on",
    async () => {
      const memory = new Memory();
      const rubbish = Buffer.alloc(limits.readBytes + 12_345, 0x28);
      const bytes = Buffer.concat([bytesOverWindow, rubbish, manyFrames[3]!, manyFrames[4]!]);
      bytes[manyFrames[0]!.length + 1000]! ^= 1;
      memory.segments.set(0, bytes);
      const right = await readByTexts(memory);
      expect(await readByFrames(memory)).toEqual(right);
      for (const at of [1, 2, 3, 20, right.length - 3]) {
        const reads: Read[] = [];
        const from = new Map([[epochKey(name), right[at]!.next]]);
        for await (const read of readNew(memory, from)) reads.push(read);
        expect([at, reads.length]).toEqual([at, right.length - at - 1]);
        expect(reads).toEqual(right.slice(at + 1));
      }
    },
    60_000,
  );
});

describe("a segment that shrank", () => {
  const [first, second] = frames as [Buffer, Buffer];

  test("at a frame's end: what is gone is damage, once", async () => {
    const reads = await readSegment(first, 0, first.length + 500);
    expect(textsOf(reads)).toEqual([texts[0]!]);
    expect(damageOf(reads)).toEqual([[first.length, 500]]);
    expect(reads.at(-1)!.damage).toBe("the segment is too short");
  });

  test("in the middle of a frame: the cut frame and what is gone are damage", async () => {
    const bytes = Buffer.concat([first, second.subarray(0, 40)]);
    const reads = await readSegment(bytes, 0, first.length + second.length);
    expect(textsOf(reads)).toEqual([texts[0]!]);
    expect(damageOf(reads)).toEqual([
      [first.length, 40],
      [first.length + 40, second.length - 40],
    ]);
  });

  test("to nothing, or to before the cursor: all that is left is damage", async () => {
    expect(damageOf(await readSegment(Buffer.alloc(0), 0, 100))).toEqual([[0, 100]]);
    expect(damageOf(await readSegment(Buffer.alloc(10), 50, 100))).toEqual([[50, 50]]);
  });

  test("by more than a window is told once", async () => {
    const reads = await readSegment(first, 0, 3 * limits.readBytes);
    expect(damageOf(reads)).toEqual([[first.length, 3 * limits.readBytes - first.length]]);
  });
});

describe("readNew", () => {
  async function readOn(memory: Memory, cursors: Map<string, Cursor>): Promise<Read[]> {
    const reads: Read[] = [];
    for await (const read of readNew(memory, cursors)) {
      cursors.set(epochKey(read), read.next);
      reads.push(read);
    }
    return reads;
  }

  function cursorAt(segment: number, offset: number): Map<string, Cursor> {
    return new Map([[epochKey(name), { segment, offset }]]);
  }

  test("reads every segment in order, and each frame once", async () => {
    const memory = new Memory();
    const cursors = new Map<string, Cursor>();
    const end = frameOf(endText);
    memory.segments.set(0, Buffer.concat([frames[0]!]));
    expect(textsOf(await readOn(memory, cursors))).toEqual([texts[0]!]);
    expect(textsOf(await readOn(memory, cursors))).toEqual([]);
    memory.segments.set(0, Buffer.concat([frames[0]!, frames[1]!, end]));
    memory.segments.set(1, frames[2]!);
    expect(textsOf(await readOn(memory, cursors))).toEqual([texts[1]!, texts[2]!]);
    expect(cursors).toEqual(cursorAt(1, frames[2]!.length));
    memory.segments.set(1, Buffer.concat([frames[2]!, end]));
    memory.ended = true;
    expect(textsOf(await readOn(memory, cursors))).toEqual([]);
    expect(cursors).toEqual(cursorAt(2, 0));
    expect(await readOn(memory, cursors)).toEqual([]);
  });

  test("goes on where retention has removed the segments that it stands in or before", async () => {
    for (const cursors of [new Map<string, Cursor>(), cursorAt(0, 10), cursorAt(3, 0)]) {
      const memory = new Memory();
      memory.segments.set(3, frames[2]!);
      memory.segments.set(4, frames[3]!);
      const reads = await readOn(memory, cursors);
      expect(textsOf(reads)).toEqual([texts[2]!, texts[3]!]);
      expect(damageOf(reads)).toEqual([]);
      expect(cursors).toEqual(cursorAt(4, frames[3]!.length));
    }
  });

  test("passes over extents before the cursor, should the storage list them", async () => {
    const memory = new Memory();
    memory.segments.set(0, frames[0]!);
    memory.segments.set(1, frames[1]!);
    const careless: Storage = {
      createEpoch: () => memory.createEpoch(),
      list: () => memory.list(new Map()),
      read: (at, offset, length) => memory.read(at, offset, length),
      watch: () => memory.watch(),
    };
    const reads: Read[] = [];
    for await (const read of readNew(careless, cursorAt(1, 0))) reads.push(read);
    expect(textsOf(reads)).toEqual([texts[1]!]);
  });

  test("passes damage once: the cursor stands behind it", async () => {
    const memory = new Memory();
    memory.segments.set(0, Buffer.concat([frames[0]!, Buffer.from("rubbish")]));
    const cursors = new Map<string, Cursor>();
    expect(damageOf(await readOn(memory, cursors)).length).toBe(1);
    expect(await readOn(memory, cursors)).toEqual([]);
    memory.segments.set(0, Buffer.concat([memory.segments.get(0)!, frames[1]!]));
    expect(textsOf(await readOn(memory, cursors))).toEqual([texts[1]!]);
  });

  test("reads a frame again whose cursor the caller didn't move", async () => {
    const memory = new Memory();
    memory.segments.set(0, Buffer.concat(frames));
    const cursors = new Map<string, Cursor>();
    for await (const read of readNew(memory, cursors)) {
      cursors.set(epochKey(read), read.next);
      if (read.text === texts[1]) break;
    }
    expect(textsOf(await readOn(memory, cursors))).toEqual([texts[2]!, texts[3]!]);
  });

  test("of a segment that can't be read stops its epoch only, and fails at the end", async () => {
    // It once failed at the first: one bad sector held up all receivers.
    const epochs = ["a", "b", "c"].map((epoch) => new Memory({ receiver: "r1", epoch }));
    for (const memory of epochs) {
      for (const segment of [0, 1, 2]) {
        memory.segments.set(segment, frameOf(`${memory.epoch.epoch}${segment}\n`));
      }
    }
    const epochOf = ({ epoch }: EpochName) =>
      epochs.find((memory) => memory.epoch.epoch === epoch)!;
    const storage: Storage = {
      createEpoch: () => epochs[0]!.createEpoch(),
      list: async (after) => (await Promise.all(epochs.map((one) => one.list(after)))).flat(),
      read: (at, offset, length) => epochOf(at).read(at, offset, length),
      watch: () => epochs[0]!.watch(),
    };
    epochs[0]!.broken.push([1, 0]);
    epochs[1]!.broken.push([0, 0]);
    const cursors = new Map<string, Cursor>();
    const readOn = async () => {
      const got: string[] = [];
      const failed = await (async () => {
        for await (const { text, next, ...at } of readNew(storage, cursors)) {
          cursors.set(epochKey(at), next);
          if (text !== undefined) got.push(text.trimEnd());
        }
      })().catch((error) => error);
      return [got, failed?.message];
    };
    expect(await readOn()).toEqual([["a0", "c0", "c1", "c2"], "EIO in a 1"]);
    expect(await readOn()).toEqual([[], "EIO in a 1"]);
    epochs[1]!.broken.pop();
    expect(await readOn()).toEqual([["b0", "b1", "b2"], "EIO in a 1"]);
    epochs[0]!.broken.pop();
    expect(await readOn()).toEqual([["a1", "a2"], undefined]);
  });

  test("keeps the frames before the place in a segment that can't be read", async () => {
    const memory = new Memory();
    memory.segments.set(0, bytesOverWindow);
    memory.broken.push([0, 1]);
    const reads: Read[] = [];
    const cursors = new Map<string, Cursor>();
    const reading = (async () => {
      for await (const read of readNew(memory, cursors)) reads.push(read);
    })();
    await expect(reading).rejects.toThrow(StorageError);
    expect(textsOf(reads).length).toBeGreaterThan(0);
    expect(reads.at(-1)!.next.offset).toBeLessThanOrEqual(limits.readBytes);
  });

  test("isn't kept from failing at once by an error that isn't the storage's", async () => {
    const memory = new Memory();
    memory.segments.set(0, frames[0]!);
    memory.read = () => Promise.reject(new TypeError("a mistake"));
    await expect(readOn(memory, new Map())).rejects.toThrow(TypeError);
  });

  test("of a segment that shrank goes on in the next one", async () => {
    const memory = new Memory();
    memory.segments.set(0, frames[0]!);
    memory.promised.set(0, frames[0]!.length + 100);
    memory.segments.set(1, frames[1]!);
    const reads = await readOn(memory, new Map());
    expect(textsOf(reads)).toEqual([texts[0]!, texts[1]!]);
    expect(damageOf(reads)).toEqual([[frames[0]!.length, 100]]);
  });
});
