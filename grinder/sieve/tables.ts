/**
 * Literals to the tables by which the sieve finds them.
 *
 * | table | what |
 * |-------|------|
 * | `first`, `second` | for each slot of a gram 1 if a literal is entered there, else 0 |
 * | `grams`, `heads` | an open hash of grams; the first entry of each, 0 where there is none |
 * | `next` | by entry: another one of the same gram, or 0 |
 * | `literals`, `offsets` | by entry: which literal, and where in it the gram begins |
 * | `bytes`, `starts` | the literals behind each other, and where each begins |
 */
import {
  entriesOf,
  firstSize,
  firstSlot,
  type GramRates,
  secondSize,
  secondSlot,
} from "./grams.ts";

export interface Tables {
  first: Uint8Array;
  second: Uint8Array;
  grams: Int32Array;
  heads: Int32Array;
  next: Int32Array;
  literals: Int32Array;
  offsets: Int32Array;
  bytes: Uint8Array;
  starts: Int32Array;
}

export function buildTables(literals: readonly Uint8Array[], rates: GramRates): Tables {
  const entries = literals.flatMap((bytes, literal) =>
    entriesOf(bytes, rates).entries.map((entry) => ({ ...entry, literal }))
  );
  // A quarter full at most, so that what isn't there is soon found to be missing.
  const hashSize = 1 << Math.max(10, Math.ceil(Math.log2(4 * entries.length + 1)));
  const tables: Tables = {
    first: new Uint8Array(firstSize),
    second: new Uint8Array(secondSize),
    grams: new Int32Array(hashSize),
    heads: new Int32Array(hashSize),
    next: new Int32Array(entries.length + 1),
    literals: new Int32Array(entries.length + 1),
    offsets: new Int32Array(entries.length + 1),
    ...joined(literals),
  };
  const mask = hashSize - 1;
  for (const [i, { gram, literal, offset }] of entries.entries()) {
    tables.first[firstSlot(gram)] = 1;
    tables.second[secondSlot(gram)] = 1;
    let place = hashPlace(gram, mask);
    while (tables.heads[place] !== 0 && tables.grams[place] !== gram) place = place + 1 & mask;
    tables.grams[place] = gram;
    tables.next[i + 1] = tables.heads[place]!;
    tables.heads[place] = i + 1;
    tables.literals[i + 1] = literal;
    tables.offsets[i + 1] = offset;
  }
  return tables;
}

/** Where in the open hash the search for a gram begins. */
export function hashPlace(gram: number, mask: number): number {
  return secondSlot(gram) & mask;
}

function joined(literals: readonly Uint8Array[]): Pick<Tables, "bytes" | "starts"> {
  const starts = new Int32Array(literals.length + 1);
  for (const [i, { length }] of literals.entries()) starts[i + 1] = starts[i]! + length;
  const bytes = new Uint8Array(starts[literals.length]!);
  for (const [i, literal] of literals.entries()) bytes.set(literal, starts[i]);
  return { bytes, starts };
}
