/**
 * Records in, of each stream which seqs came and a digest of what they say, out: to be compared with what
 * somebody else has read elsewhere. As lines of JSON:
 *
 *     {"key":"DEVICE SOURCE STREAM","seqs":"0-99,105","sum":N,"twice":N}
 *
 * `sum` adds up a digest of each record that came for the first time, in any order.
 */
import { createHash } from "node:crypto";
import type { BlockHeader } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { formatRecord, type LogRecord } from "../../shared/record.ts";

export interface StreamSum {
  seqs: IntervalSet;
  sum: number;
  /** Records that came more than once. */
  twice: number;
}

export class StreamSums {
  readonly streams = new Map<string, StreamSum>();

  add({ device, source, stream }: BlockHeader, record: LogRecord): void {
    const known = this.stream(`${device} ${source} ${stream}`);
    if (known.seqs.add(record.seq, record.seq).length === 0) known.twice++;
    else known.sum = (known.sum + digest(record)) % 2 ** 48;
  }

  stream(key: string): StreamSum {
    const known = this.streams.get(key);
    if (known) return known;
    const fresh = { seqs: new IntervalSet(), sum: 0, twice: 0 };
    this.streams.set(key, fresh);
    return fresh;
  }

  get records(): number {
    return this.#total(({ seqs }) => seqs.count);
  }

  get twice(): number {
    return this.#total(({ twice }) => twice);
  }

  format(): string {
    const lines = [...this.streams].map(([key, { seqs, ...rest }]) =>
      `${JSON.stringify({ key, seqs: seqs.encode(), ...rest })}\n`
    );
    return lines.join("");
  }

  static parse(text: string): StreamSums {
    const sums = new StreamSums();
    for (const line of text.split("\n").filter((line) => line !== "")) {
      const { key, seqs, ...rest } = JSON.parse(line);
      sums.streams.set(key, { seqs: IntervalSet.decode(seqs), ...rest });
    }
    return sums;
  }

  #total(of: (stream: StreamSum) => number): number {
    return [...this.streams.values()].reduce((sum, stream) => sum + of(stream), 0);
  }
}

/** What a stream has that others haven't, or says otherwise; "" where they are the same. */
export function difference(of: StreamSums, others: StreamSums): string {
  const told: string[] = [];
  for (const key of new Set([...of.streams.keys(), ...others.streams.keys()])) {
    const [a, b] = [of.stream(key), others.stream(key)];
    const [less, more] = [b.seqs.subtract(a.seqs), a.seqs.subtract(b.seqs)];
    if (less.count > 0) told.push(`${key}: ${less.encode()} missing`);
    if (more.count > 0) told.push(`${key}: ${more.encode()} too many`);
    if (less.count + more.count === 0 && a.sum !== b.sum) told.push(`${key}: other texts`);
  }
  return told.join("\n");
}

function digest(record: LogRecord): number {
  return createHash("md5").update(formatRecord(record)).digest().readUIntBE(0, 6);
}
