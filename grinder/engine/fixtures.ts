/** What the engine's tests need: blocks of all kinds, drawn at random, and a mill that is ground by an engine. */
import type { BlockHeader } from "../../shared/block.ts";
import { block, gapLine, line, midnightMs, type Mill, noonUs, syncLine } from "../fixtures.ts";
import type { Engine } from "./engine.ts";

type Below = (n: number) => number;

const texts = [
  (n: number) => `link ${n % 2 ? "up" : "down"} on eth${n % 3}`,
  (n: number) => `took ${n} ms`,
  () => "nothing to see",
  (n: number) => `link up on caf\\xc3\\xa9, took ${n}.5 ms, wall_us=7 count=3 ,g, ,s,`,
  () => "a \\x22quote\\x22 and link down on \\x5cx",
];

/** Records from `first` on, each once, with what may stand between them. */
function records(first: number, last: number, below: Below, flag = "-"): string {
  let all = "";
  for (let seq = first; seq <= last; seq++) {
    const usec = seq * 1e6 + below(100);
    const dice = below(40);
    if (dice === 0) {
      all += syncLine(seq, usec, noonUs - 36_000e6 + usec + below(1000), below(4) > 0);
    } else if (dice === 1) {
      all += gapLine(seq, usec, { first: seq, last: seq + 3, count: 4, cause: "overrun" });
    } else if (dice === 2) all += "what is this, link up on it\n";
    all += line(seq, texts[below(texts.length)]!(seq), usec).replace(",-;", `,${flag};`);
    if (below(9) === 0) all += " SUBSYSTEM=link up on net\n DEVICE=+net:eth0\n";
  }
  return below(6) === 0 ? all + syncLine(last + 1, last * 1e6 + 200, noonUs) : all;
}

/** Headers that lie so that it can be told, at least from their block's ends. */
function lie(first: number, last: number, below: Below): Partial<BlockHeader> {
  const lies: Array<Partial<BlockHeader>> = [
    { count: last - first + 2 },
    { first: first + 1, last: last + 1 },
    { first: 0, last: 0, count: 0 },
    { last: last + 1000, count: last - first + 1001 },
    { first: last + 1, last: first },
  ];
  return lies[below(lies.length)]!;
}

/** A block of a small fleet: new, sent again, overlapping, with lies, last words, raw lines, or no block. */
export function randomBlock(below: Below): string {
  const device = `d${below(4)}`;
  const recvUs = noonUs + below(600) * 1e6;
  const first = below(300);
  const last = first + below(30);
  const dice = below(40);
  if (dice === 0) return `#1 ${device} b1 kmsg b1 x 1 2 3\n${records(first, last, below)}`;
  if (dice === 1) {
    return block("link up on a\n[   12.5] took 5 ms\n", { device, source: "raw", recvUs });
  }
  if (dice === 2) {
    const words = { device, source: "pstore", stream: `pstore-${below(3)}`, recvUs };
    return block(records(first, last, below, "p"), words);
  }
  const stream = ["b1", "ring-1", "s2"][Math.max(0, below(20) - 17)]!;
  const source = stream === "s2" ? "file:log" : "kmsg";
  const given = dice === 3 ? lie(first, last, below) : {};
  return block(records(first, last, below), { device, source, stream, recvUs, ...given });
}

/** Grinds what is there, as `tail` does, with a commit after so many frames. */
export async function grindBy(engine: Engine, mill: Mill, framesOfBatch: number): Promise<void> {
  const { grind, storage } = mill;
  let frames = 0;
  for await (const { read, digest, textOf } of engine.digests(storage, grind.cursors)) {
    const stored = digest.hasLastWords
      ? await grind.tails.storedLines({ ...read, text: textOf() }, storage)
      : undefined;
    grind.takeDigest(read, digest, textOf, stored);
    if (++frames % framesOfBatch === 0) grind.commit(midnightMs);
  }
  grind.commit(midnightMs, "end");
}
