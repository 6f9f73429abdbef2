/** What a measurement says, to stdout and, if it is asked for, to a file: that file is the raw output. */
import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import process from "node:process";

export class Report {
  #text = "";

  /** Begins with the machine, the versions and the command. */
  constructor(script: string, private readonly path?: string) {
    const runtimes = `Bun ${process.versions.bun}`;
    this.say(
      `Linux ${release()}, ${process.arch}, ${cpus().length} cores (${
        cpus()[0]!.model
      }), ${runtimes}`,
    );
    this.say(`$ bun ${script} ${process.argv.slice(2).join(" ")}`);
  }

  /** Kept at once: a run that is cut off has said what it has. */
  say(line = ""): void {
    console.log(line);
    this.#text += `${line}\n`;
    if (this.path !== undefined) writeFileSync(this.path, this.#text);
  }

  /** Rows under their titles, numbers and texts flush right. */
  table(titles: readonly string[], rows: ReadonlyArray<ReadonlyArray<string | number>>): void {
    for (const line of tableLines(titles, rows)) this.say(line);
  }
}

export function tableLines(
  titles: readonly string[],
  rows: ReadonlyArray<ReadonlyArray<string | number>>,
): string[] {
  const all = [titles, ...rows].map((row) => row.map(String));
  const widths = titles.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  return all.map((row) => row.map((cell, i) => cell.padStart(widths[i]!)).join("  "));
}

/** So many digits behind the point. */
export function round(value: number, digits = 0): number {
  return Number(value.toFixed(digits));
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
