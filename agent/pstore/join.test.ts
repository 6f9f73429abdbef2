import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { type DumpKind, parseDump } from "./dump.ts";
import { type DatedDump, joinBoots, joinLines } from "./join.ts";

function dump(kind: DumpKind, text: string, timeMs = 0): DatedDump {
  return { ...parseDump(kind, Buffer.from(text, "latin1")), timeMs };
}

/** `[SECONDS, TEXT]...` as a dump's lines. */
function printed(lines: Array<[number, string]>, prio = "<6>"): string {
  return lines.map(([s, text]) => `${prio}[${s.toFixed(6).padStart(12)}] ${text}\n`).join("");
}

function dmesg(head: string, lines: Array<[number, string]>, timeMs = 0): DatedDump {
  return dump("dmesg", `${head}\n${printed(lines)}`, timeMs);
}

const console_ = (lines: Array<[number, string]>) => dump("console", printed(lines, ""));
const texts = (dumps: DatedDump[]) =>
  joinBoots(dumps).map(({ lines }) => lines.map(({ text }) => text).join(" "));

describe("parts of one dump", () => {
  test("are joined oldest first, though Part1 is the newest", () => {
    const parts = [
      dmesg("Panic#1 Part1", [[5, "e"], [6, "f"]], 1_000),
      dmesg("Panic#1 Part3", [[1, "a"], [2, "b"]], 2_500),
      dmesg("Panic#1 Part2", [[3, "c"], [4, "d"]], 1_900),
    ];
    expect(texts(parts)).toEqual(["a b c d e f"]);
  });

  test("of two boots aren't mixed, though each has a Panic#1", () => {
    const parts = [
      dmesg("Panic#1 Part1", [[8, "y"]], 60_000),
      dmesg("Panic#1 Part2", [[7, "x"]], 60_000),
      dmesg("Panic#1 Part2", [[3, "a"]], 1_000),
      dmesg("Panic#1 Part1", [[4, "b"]], 1_000),
    ];
    expect(texts(parts)).toEqual(["a b", "x y"]);
  });
});

describe("dumps of one boot", () => {
  test("are one tail: an oops that it survived, and the panic later", () => {
    const oops = dmesg("Oops#1 Part1", [[1, "a"], [2, "b"]], 1_000);
    const panic = dmesg("Panic#2 Part1", [[2, "b"], [3, "c"]], 9_000);
    expect(texts([panic, oops])).toEqual(["a b c"]);
  });

  test("of which the later is of an earlier time are of two boots", () => {
    const oops = dmesg("Oops#1 Part1", [[100, "a"]], 1_000);
    const panic = dmesg("Panic#2 Part1", [[2, "b"]], 9_000);
    expect(texts([oops, panic])).toEqual(["a", "b"]);
  });
});

describe("a console", () => {
  test("has each line that the dump has, too, once", () => {
    const log = dmesg("Panic#1 Part1", [[2, "b"], [2, "b"], [3, "c"], [4, "d"]]);
    expect(texts([log, console_([[2, "b"], [4, "d"]])])).toEqual(["b b c d"]);
    expect(texts([log, console_([[2, "b"], [2, "b"], [2, "b"], [4, "d"]])])).toEqual(["b b b c d"]);
  });

  test("adds what is older and what is newer, in its place", () => {
    const log = dmesg("Oops#1 Part1", [[2, "b"], [3, "c"]]);
    expect(texts([log, console_([[1, "a"], [2, "b"], [3, "c"], [9, "z"]])])).toEqual(["a b c z"]);
  });

  test("keeps its level from the dump", () => {
    const log = dump("dmesg", "<3>[    2.000000] b\n");
    const [boot] = joinBoots([log, console_([[2, "b"], [3, "c"]])]);
    expect(boot!.lines.map(({ prio }) => prio)).toEqual([3, undefined]);
  });

  test("of another boot than the dump is a tail of its own", () => {
    const log = dmesg("Panic#1 Part1", [[0, "Linux"], [1, "a"], [5, "e"]]);
    const other = console_([[0, "Linux"], [1.2, "a"], [2.5, "b"], [6, "f"]]);
    expect(texts([log, other])).toEqual(["Linux a e", "Linux a b f"]);
  });

  test("without a dump is a tail, and what programs left goes to its end", () => {
    const pmsg = dump("pmsg", "<6>app: x\n<6>[    1.500000] app: timed\n<6>app: y\n");
    const [boot] = joinBoots([console_([[1, "a"], [2, "b"]]), pmsg]);
    expect(boot!.lines.map(({ usec, text }) => `${usec} ${text}`)).toEqual([
      "1000000 a",
      "1500000 app: timed",
      "2000000 b",
      "2000000 app: x",
      "2000000 app: y",
    ]);
  });
});

test("what programs left alone is a tail", () => {
  expect(texts([dump("pmsg", "a\nb\n")])).toEqual(["a b"]);
  expect(texts([])).toEqual([]);
});

test("a join goes on past a time that a flipped bit made too late", () => {
  const older =
    parseDump("dmesg", Buffer.from(printed([[1, "a"], [900_000, "b"], [3, "c"]]))).lines;
  const newer =
    parseDump("console", Buffer.from(printed([[1, "a"], [3, "c"], [4, "d"]], ""))).lines;
  expect(joinLines(older, newer).map(({ text }) => text)).toEqual(["a", "b", "c", "d"]);
});
