/**
 * What a fleet knows of its own streams: the truth that storage is checked against. In a file it is
 * JSON lines, one for each stream:
 *
 *     {"device":"sim-0001","boot":"...","source":"kmsg","stream":"...","bootWallUs":N,
 *      "written":[0,120]|null,"acked":"0-99,105"}
 *
 * `written` are the first and the last seq that the device wrote, `acked` those that a receiver called
 * durable (intervals.ts). A file that was left behind by a kill is some seconds old: what it has is true.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { IntervalSet } from "../../shared/intervals.ts";

export interface JournalStream {
  device: string;
  boot: string;
  source: string;
  stream: string;
  /** Unix microseconds at the kernel clock's 0. */
  bootWallUs: number;
  written: [first: number, last: number] | null;
  acked: IntervalSet;
}

export function formatJournal(streams: Iterable<JournalStream>): string {
  let text = "";
  for (const { acked, ...rest } of streams) {
    text += `${JSON.stringify({ ...rest, acked: acked.encode() })}\n`;
  }
  return text;
}

/** Throws where a line isn't as above: a journal is written whole or not at all. */
export function parseJournal(text: string): JournalStream[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const stream = JSON.parse(line);
    return { ...stream, acked: IntervalSet.decode(stream.acked) };
  });
}

export async function readJournal(path: string): Promise<JournalStream[]> {
  return parseJournal(await readFile(path, "utf8"));
}

/** Replaces the file in one step. */
export async function writeJournal(path: string, streams: Iterable<JournalStream>): Promise<void> {
  await writeFile(`${path}.tmp`, formatJournal(streams));
  await rename(`${path}.tmp`, path);
}
