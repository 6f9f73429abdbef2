/**
 * What the kernel printed to its console, as a witness that no part of ours has touched: with
 * `ignore_loglevel` each line of the kernel's log comes there as it is written.
 */

export interface WitnessLine {
  /** Microseconds since the boot's start. */
  usec: number;
  text: string;
}

/** The lines of each boot, in order. */
export function witnessBoots(console: string): WitnessLine[][] {
  const boots: WitnessLine[][] = [];
  for (const line of console.split("\n")) {
    const [, seconds, micros, text] = /^\[ *(\d+)\.(\d{6})\] (.*)$/.exec(line) ?? [];
    if (text === undefined) continue;
    if (text.startsWith("Linux version ")) boots.push([]);
    boots.at(-1)?.push({ usec: Number(seconds) * 1e6 + Number(micros), text });
  }
  return boots;
}

/** What programs said that they had written in a boot, whether or not it reached the kernel. */
export interface Written {
  /** The number of the last line of each program. */
  last: Map<string, number>;
  /** When a line was made by the guest's clock, Unix time: by `PROGRAM NUMBER`. */
  atMs: Map<string, number>;
}

export function writtenIn(script: string, boot: number): Written {
  const written: Written = { last: new Map(), atMs: new Map() };
  const notes = /^boot (\d+) wrote (\S+) (\d+) at (\d+\.\d+)$/gm;
  for (const [, of, program, number, seconds] of script.matchAll(notes)) {
    if (Number(of) !== boot) continue;
    written.last.set(program!, Number(number));
    written.atMs.set(`${program} ${number}`, Number(seconds) * 1000);
  }
  return written;
}

/** The lines up to the one by which the dump was made: what comes after it is on the console alone. */
export function upTo<T extends WitnessLine>(lines: T[], last: RegExp): T[] {
  return lines.slice(0, lines.findIndex(({ text }) => last.test(text)) + 1);
}
