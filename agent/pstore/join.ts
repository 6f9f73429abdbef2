/** The dumps of one folder in, one ordered tail of lines for each boot that they are of out. */
import type { Dump, DumpLine } from "./dump.ts";

/** A dump, and when it was made as far as its file says. */
export interface DatedDump extends Dump {
  timeMs: number;
}

export interface BootTail<D extends Dump = Dump> {
  dumps: D[];
  lines: DumpLine[];
}

/** What a boot left behind, oldest boot first. */
export function joinBoots<D extends DatedDump>(dumps: D[]): Array<BootTail<D>> {
  const boots: Array<BootTail<D> & { count: number }> = [];
  for (const crash of crashesOf(dumps.filter(({ kind }) => kind === "dmesg"))) {
    const boot = boots.at(-1);
    if (boot && crash.count > boot.count && lastUsec(crash.lines) >= lastUsec(boot.lines)) {
      boot.dumps.push(...crash.dumps);
      boot.lines = joinLines(boot.lines, crash.lines);
      boot.count = crash.count;
    } else boots.push(crash);
  }
  const tails: Array<BootTail<D>> = boots.map(({ dumps, lines }) => ({ dumps, lines }));
  for (const dump of dumps.filter(({ kind }) => kind === "console")) {
    const boot = tails.at(-1);
    if (boot && isSameBoot(boot.lines, dump.lines)) addTo(boot, dump);
    else tails.push({ dumps: [dump], lines: dump.lines });
  }
  // It says nothing of its boot: it is kept as the console is, for one boot.
  for (const dump of dumps.filter(({ kind }) => kind === "pmsg")) {
    if (tails.length === 0) tails.push({ dumps: [], lines: [] });
    addTo(tails.at(-1)!, dump);
  }
  return tails;
}

/**
 * All lines of two lists, those that are in both once: equal is what has the same time and text, as
 * often as it is there. Each list keeps its order; where both say nothing of it, time decides. Lines of
 * programs without a time go to the end.
 */
export function joinLines(older: DumpLine[], newer: DumpLine[]): DumpLine[] {
  const places = new Map<string, number[]>();
  older.forEach((line, index) => {
    const key = lineKey(line);
    const known = places.get(key);
    if (known) known.push(index);
    else places.set(key, [index]);
  });
  const joined: DumpLine[] = [];
  let at = 0;
  for (const line of newer) {
    const same = places.get(lineKey(line))?.shift();
    if (same !== undefined) {
      while (at <= same) joined.push(older[at++]!);
      continue;
    }
    while (at < older.length && older[at]!.usec <= line.usec) joined.push(older[at++]!);
    joined.push(line);
  }
  return joined.concat(older.slice(at));
}

function addTo<D extends Dump>(boot: BootTail<D>, dump: D): void {
  boot.dumps.push(dump);
  if (dump.kind !== "pmsg") return void (boot.lines = joinLines(boot.lines, dump.lines));
  const untimed = dump.lines.filter(({ timed }) => !timed);
  boot.lines = joinLines(boot.lines, dump.lines.filter(({ timed }) => timed));
  const usec = boot.lines.at(-1)?.usec ?? 0;
  boot.lines = boot.lines.concat(untimed.map((line) => ({ ...line, usec })));
}

/** Parts of one dump together, in the order in which they were written: Part1 comes first, and ends it. */
function crashesOf<D extends DatedDump>(dumps: D[]): Array<BootTail<D> & { count: number }> {
  const inOrder = dumps.toSorted((a, b) =>
    Math.floor(a.timeMs / 1000) - Math.floor(b.timeMs / 1000) || a.count - b.count ||
    a.part - b.part
  );
  const crashes: D[][] = [];
  for (const dump of inOrder) {
    const last = crashes.at(-1)?.at(-1);
    const same = last && last.reason === dump.reason && last.count === dump.count &&
      last.part < dump.part;
    if (same) crashes.at(-1)!.push(dump);
    else crashes.push([dump]);
  }
  return crashes.map((parts) => ({
    dumps: parts,
    lines: parts.toReversed().flatMap(({ lines }) => lines),
    count: parts[0]!.count,
  }));
}

/**
 * Whether a console is of the boot that a dump is of: the dump holds every line of the time that it
 * covers, so a console of the same boot has hardly one of that time that isn't in it.
 */
function isSameBoot(dump: DumpLine[], console: DumpLine[]): boolean {
  const [first, last] = [dump.find(({ timed }) => timed)?.usec ?? 0, lastUsec(dump)];
  // At 0 all boots say the same.
  const covered = console.filter(({ timed, usec }) =>
    timed && usec > 0 && usec >= first && usec <= last
  );
  const keys = new Set(dump.map(lineKey));
  const found = covered.filter((line) => keys.has(lineKey(line))).length;
  return covered.length > 0 && found * 2 >= covered.length;
}

function lastUsec(lines: DumpLine[]): number {
  return lines.at(-1)?.usec ?? 0;
}

function lineKey({ usec, text }: DumpLine): string {
  return `${usec} ${text}`;
}
