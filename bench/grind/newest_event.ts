/** The events files, and the newest whole event in them, read from their end. */
import {
  closeSync,
  createReadStream,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
} from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface PlacedEvent {
  rule: string;
  recv_us: number;
  /** RECEIVER/EPOCH/NNNNNNNN */
  segment: string;
  offset: number;
}

/** Holds the longest events that there are, several times over. */
const tailBytes = 64 * 1024;

export function newestEvent(folder: string): PlacedEvent | undefined {
  const name = existsSync(folder) ? readdirSync(folder).sort().at(-1) : undefined;
  if (name === undefined) return undefined;
  const file = openSync(join(folder, name), "r");
  const { size } = fstatSync(file);
  const tail = Buffer.alloc(Math.min(size, tailBytes));
  const length = readSync(file, tail, 0, tail.length, size - tail.length);
  closeSync(file);
  // What is behind the last newline is half written.
  const line = tail.toString("utf8", 0, length).split("\n").at(-2);
  return line === undefined || line === "" ? undefined : JSON.parse(line) as PlacedEvent;
}

/** Events of all files, by rule. */
export async function countEvents(folder: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const name of readdirSync(folder).sort()) {
    for await (const line of createInterface({ input: createReadStream(join(folder, name)) })) {
      const rule = line.slice(9, line.indexOf('"', 9));
      counts.set(rule, (counts.get(rule) ?? 0) + 1);
    }
  }
  return counts;
}
