import { describe, expect, test } from "bun:test";
import { forEachRecord, type LogRecord, parseGap } from "../shared/record.ts";
import { type Position, recordHash } from "./checkpoint.ts";
import { openKmsgSources } from "./persistent_ring.ts";
import type { Ring, RingRead } from "./ring.ts";
import type { Source } from "./source.ts";

/** A ring that holds the same from its beginning for each who opens it. */
function openerOf(texts: string[], opened: FakeRing[] = []): () => Ring {
  return () => {
    const ring = new FakeRing([...texts]);
    opened.push(ring);
    return ring;
  };
}

class FakeRing implements Ring {
  closed = false;
  constructor(private readonly texts: string[]) {}

  next(): RingRead {
    const text = this.texts.shift();
    return text === undefined ? { kind: "empty" } : { kind: "record", text };
  }

  oldestSeq(): number | undefined {
    return this.texts[0] === undefined ? undefined : Number(this.texts[0].split(",")[1]);
  }

  close(): void {
    this.closed = true;
  }
}

const line = (seq: number, s: number, text: string) => `6,${seq},${s * 1e6},-;${text}\n`;

function at(text: string, seq: number, boot = "b1"): Position {
  let hash = "";
  forEachRecord(text, (record) => hash = recordHash(record), () => {});
  return { boot, stream: boot, seq, hash };
}

function open(texts: string[], position?: Position, lastBoot?: string) {
  const observed: number[] = [];
  const clock = { observe: (usec: number) => void observed.push(usec) };
  const rings: FakeRing[] = [];
  const sleep = () => Promise.resolve();
  const openRing = openerOf(texts, rings);
  return {
    ...openKmsgSources({ openRing, boot: "b2", clock, position, lastBoot, sleep }),
    observed,
    rings,
  };
}

/** `BOOT STREAM: SEQ TEXT, ...`, a gap as `first-last`. */
async function brief(source: Source): Promise<string> {
  const all: LogRecord[] = [];
  source.source === "kmsg" || expect.unreachable();
  if (source.boot === "b2") source.close();
  for (let some = await source.read(); some; some = await source.read()) all.push(...some);
  const records = all.map((record) => {
    const gap = record.flag === "g" ? parseGap(record) : undefined;
    return gap ? `${gap.first}-${gap.last}` : `${record.seq}${record.flag}${record.text}`;
  });
  return `${source.boot} ${source.stream}: ${records.join(" ")}`;
}

const briefs = (sources: Source[]) => Promise.all(sources.map(brief));

/** Two boots, numbered anew over both. */
const two = [
  line(0, 900, "k"),
  line(1, 901, "l"),
  line(2, 902, "m"),
  line(3, 0, "A"),
  line(4, 1, "B"),
];

describe("a ring that survived a reboot", () => {
  test("goes on behind the checkpoint's record by distance, and begins the new boot's stream", async () => {
    const { old, current, ringSurvived, observed } = open(two, at(two[0]!, 70));
    expect(await briefs([...old, current])).toEqual(["b1 b1: 71-l 72-m", "b2 b2: 3-A 4-B"]);
    expect(ringSurvived).toBe(true);
    expect(observed).toEqual([0, 1e6]);
    expect(old.map(({ over }) => over)).toEqual([true]);
  });

  test("tells equal records apart by their seqs, as long as those hold", async () => {
    const twins = [line(0, 900, "k"), line(1, 900, "k"), line(2, 0, "X"), line(3, 900, "k")];
    const ring = [...twins, line(4, 0, "A")];
    const unseen = "unknown-X ring-X: 0-X 1-k";
    const named = async (seq: number) =>
      (await briefs(open(ring, at(ring[0]!, seq)).old)).map((text) =>
        text.replaceAll(/(unknown|ring)-\w+/g, "$1-X")
      );
    expect(await named(0)).toEqual(["b1 b1: 1-k", unseen]);
    expect(await named(1)).toEqual([unseen]);
    expect(await named(70)).toEqual([]);
  });

  test("has nothing left of a boot that was acknowledged to its end", async () => {
    const { old, current } = open(two, at(two[2]!, 70));
    expect(await briefs([...old, current])).toEqual(["b2 b2: 3-A 4-B"]);
  });

  test("gives the new boot the same seqs at every start", async () => {
    for (const position of [undefined, at(two[3]!, 3, "b2"), at(two[2]!, 70)]) {
      const { current } = open(two, position);
      expect(await brief(current)).toMatch(/^b2 b2: (3-A )?4-B$/);
    }
  });

  test("isn't read for the old boot once the checkpoint is of this one", async () => {
    const { old, ringSurvived, current } = open(two, at(two[4]!, 4, "b2"));
    expect([old, ringSurvived]).toEqual([[], true]);
    expect(await brief(current)).toBe("b2 b2: ");
  });

  test("that lost the checkpoint's record ships what is left whole, behind a gap without an end", async () => {
    const { old, current } = open(two, at(line(0, 800, "gone"), 70));
    const [gap, rest, now] = await briefs([...old, current]);
    expect(gap).toBe("b1 b1: 71-?");
    expect(rest).toMatch(/^b1 ring-\w+: 0pk 1pl 2pm$/);
    expect(now).toBe("b2 b2: 3-A 4-B");
  });

  test("goes on within what is left, killed in the middle of it, as recovered records", async () => {
    const { old } = open(two, at(line(0, 800, "gone"), 70));
    const { stream } = old[1]!;
    const again = open(two, { ...at(two[1]!, 1), stream });
    expect(await briefs(again.old)).toEqual([`b1 ${stream}: 2pm`]);
  });

  test("names a boot that no agent saw by its first record", async () => {
    const three = [
      line(0, 900, "k"),
      line(1, 901, "l"),
      line(2, 0, "X"),
      line(3, 5, "Y"),
      ...two.slice(3)
        .map((_, i) => line(4 + i, i, "AB"[i]!)),
    ];
    const { old, current } = open(three, at(three[0]!, 70));
    const [died, unseen, now] = await briefs([...old, current]);
    expect(died).toBe("b1 b1: 71-l");
    expect(unseen).toMatch(/^unknown-(\w+) ring-\1: 0-X 1-Y$/);
    expect(now).toBe("b2 b2: 4-A 5-B");
    expect(await briefs(open(three, at(three[0]!, 70)).old)).toEqual([died!, unseen!]);
  });

  test("names a boot of which nothing was acknowledged, if the agent ran in it", async () => {
    for (const position of [undefined, at(line(0, 800, "of b0"), 70, "b0")]) {
      const [last, ...others] = await briefs(open(two, position, "b1").old);
      expect(last).toMatch(/^b1 ring-\w+: 0pk 1pl 2pm$/);
      expect(others).toEqual([]);
    }
  });

  test("without a checkpoint ships all of it, the old boot as unknown", async () => {
    const [old, current] = await briefs([...open(two).old, open(two).current]);
    expect(old).toMatch(/^unknown-(\w+) ring-\1: 0-k 1-l 2-m$/);
    expect(current).toBe("b2 b2: 3-A 4-B");
  });

  test("knows a boot that lived less than a second by the kernel's first line", async () => {
    const short = ["Linux version 6.1", "panic", "Linux version 6.1", "fine"]
      .map((text, seq) => `5,${seq},${(seq % 2) * 400_000},-;${text}\n`);
    const { old, current } = open(short, at(short[0]!, 0));
    expect(await briefs([...old, current])).toEqual([
      "b1 b1: 1-panic",
      "b2 b2: 2-Linux version 6.1 3-fine",
    ]);
  });

  test("shows what the new boot overwrites while the old one is shipped", async () => {
    const rings = [[...two], [...two], [two[1]!, ...two.slice(3)], [two[4]!]];
    const openRing = () => new FakeRing(rings.shift()!);
    const options = { boot: "b2", clock: { observe() {} }, sleep: () => Promise.resolve() };
    const { old } = openKmsgSources({ ...options, openRing, position: at(two[0]!, 70) });
    expect(await briefs(old)).toEqual(["b1 b1: 71-l 72-72"]);
  });

  test("closes the rings that it has read", async () => {
    const { old, rings } = open(two, at(two[0]!, 70));
    await briefs(old);
    expect(rings.map(({ closed }) => closed)).toEqual([true, false, true]);
  });
});

describe("a ring of one boot", () => {
  test("is the current boot's, and shows what it has lost of it", async () => {
    const one = [line(5, 1, "a"), line(6, 2, "b")];
    for (const position of [undefined, at(line(0, 900, "k"), 70)]) {
      const { old, current, ringSurvived } = open(one, position);
      expect([old, ringSurvived]).toEqual([[], false]);
      expect(await brief(current)).toBe("b2 b2: 0-4 5-a 6-b");
    }
  });

  test("isn't cut where clocks of processors differ a little, or where a clock is set back late", () => {
    const one = [line(0, 10, "a"), line(1, 9.5, "b"), line(2, 500, "c"), line(3, 300, "d")];
    expect(open(one).ringSurvived).toBe(false);
  });

  test("that is empty has a current boot all the same", () => {
    const { old, current, ringSurvived } = open([]);
    expect([old, ringSurvived, current.boot]).toEqual([[], false, "b2"]);
  });
});
