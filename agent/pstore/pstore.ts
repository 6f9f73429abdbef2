/**
 * The last words of boots that died, as sources: one finite stream for each boot that left dumps. They
 * have no seqs: these are the places in the tail that is shipped. Some of it may be stored as kmsg
 * records already, since acknowledgements can die in the panic; the grinder drops those.
 */
import { createHash } from "node:crypto";
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import type { LogRecord } from "../../shared/record.ts";
import { type Position, recordHash } from "../checkpoint.ts";
import type { Source } from "../source.ts";
import type { DumpLine } from "./dump.ts";
import { findDumps, type FoundDump } from "./find.ts";
import { type BootTail, joinBoots } from "./join.ts";
import { Shipped } from "./shipped.ts";

export interface PstoreOptions {
  /** In place of `/`, to try it out. */
  root?: string;
  /** Where the agent remembers what was shipped. */
  state: string;
  /** The boot that died and what is acknowledged of it, as far as it is known (died_boot.ts). */
  died: Died | undefined;
  /** The kernel's ring holds what dmesg and console dumps hold (persistent_ring.ts): they are passed over. */
  ringSurvived?: boolean;
  report: (text: string) => void;
}

export interface Died {
  boot: string;
  position?: Position | undefined;
}

/** Records taken at a time, so that others get their turn. */
const takeMax = 500;
/** Level info: what the console printed without its level. */
const consolePrio = 6;
/** Lines of one record; each costs a hash for every line before it. Picked from the air. */
const recordLinesMax = 16;
/** The boot that died last is among the newest. Searching costs hashes, at a start that should be quick. */
const bootsSearched = 4;
/** Facilities kernel, user, mail and daemon with all levels: what a console line may have been. */
const priosTried = Array.from({ length: 32 }, (_, prio) => prio);

export class PstoreTail implements Source {
  readonly source = "pstore";
  readonly over = true;
  #next = 0;
  #cut = false;

  constructor(
    readonly boot: string,
    readonly stream: string,
    private readonly lines: DumpLine[],
    private readonly forget: () => void,
  ) {}

  read(): Promise<LogRecord[] | undefined> {
    const first = this.#next;
    const lines = this.lines.slice(first, first + takeMax);
    this.#next += lines.length;
    const records = lines.map((line, index) => recordOf(line, first + index));
    return Promise.resolve(records.length > 0 ? records : undefined);
  }

  close(): void {
    if (this.#next < this.lines.length) this.#cut = true;
    this.#next = this.lines.length;
  }

  /** To be called when all that was read is acknowledged: if that is all, it is never shipped again. */
  shipped(): void {
    if (!this.#cut) this.forget();
  }
}

/** What boots that died have left and is not shipped yet, oldest first. */
export function openPstore(options: PstoreOptions): PstoreTail[] {
  const { root = "/", state, report } = options;
  const kernelFolder = join(root, "sys/fs/pstore");
  const shipped = new Shipped(join(state, "pstore-shipped"), report);
  const folders = [join(root, "var/lib/systemd/pstore"), kernelFolder];
  const { fresh, known } = findDumps(folders, shipped, report);
  if (known.length > 0) forgetDumps(known, kernelFolder, shipped, report);
  const passedOver = fresh.flat().filter(({ kind }) => options.ringSurvived && kind !== "pmsg");
  if (passedOver.length > 0) shipped.add(passedOver);
  const boots = fresh.flatMap((dumps) =>
    joinBoots(dumps.filter((dump) => !passedOver.includes(dump)))
  );
  const own = ownBoot(boots, options.died);
  return boots.flatMap((boot, index) => {
    const forget = () => forgetDumps(boot.dumps, kernelFolder, shipped, report);
    const died = index === own ? options.died : undefined;
    const skip = died ? acknowledged(boot.lines, died.position) : 0;
    // All of it came through before the end: an orderly reboot, as a rule.
    if (skip === boot.lines.length) {
      forget();
      return [];
    }
    const content = hashOf(boot.dumps.map(({ hash }) => hash));
    // Left out differently it is another stream: a seq must not name two records.
    const stream = `pstore-${skip > 0 ? hashOf([content, String(skip)]) : content}`;
    const name = died?.boot ?? `unknown-${content}`;
    return [new PstoreTail(name, stream, boot.lines.slice(skip), forget)];
  });
}

/** Which of the boots is the one that is known to have died: -1 if none of them can be. */
function ownBoot(boots: BootTail[], died: Died | undefined): number {
  if (!died) return -1;
  const found = boots.findLastIndex(({ lines }, index) =>
    index >= boots.length - bootsSearched && acknowledged(lines, died.position) > 0
  );
  const newest = boots.at(-1);
  if (found >= 0 || !newest) return found;
  // All of its boot is there, but not the record: it died before any agent ran in it.
  const isWhole = newest.dumps[0]!.kind === "dmesg" && newest.lines[0]?.usec === 0 &&
    newest.lines[0].timed;
  return died.position && isWhole ? -1 : boots.length - 1;
}

/** How many of the lines are at or before the record that is acknowledged; 0 if it isn't there. */
function acknowledged(lines: DumpLine[], position: Position | undefined): number {
  if (!position) return 0;
  for (let end = lines.length; end > 0; end--) {
    if (endsRecord(lines, end, position.hash)) return end;
  }
  return 0;
}

/** A record of several lines stands in a dump line by line, each with the same time. */
function endsRecord(lines: DumpLine[], end: number, hash: string): boolean {
  const { usec, prio } = lines[end - 1]!;
  let text = "";
  for (let at = end - 1; at >= Math.max(0, end - recordLinesMax); at--) {
    const line = lines[at]!;
    if (line.usec !== usec || line.prio !== prio) return false;
    text = text === "" ? line.text : `${line.text}\\x0a${text}`;
    const prios = prio === undefined ? priosTried : [prio];
    if (prios.some((tried) => recordHash({ prio: tried, usec, text }) === hash)) return true;
  }
  return false;
}

function recordOf({ prio = consolePrio, usec, fields, text }: DumpLine, seq: number): LogRecord {
  return { prio, seq, usec, flag: "p", fields, text, more: [] };
}

/** Remembered first: what can't be deleted must not come again. */
function forgetDumps(
  dumps: FoundDump[],
  kernelFolder: string,
  shipped: Shipped,
  report: (text: string) => void,
): void {
  shipped.add(dumps);
  for (const { path } of dumps) {
    if (!path.startsWith(kernelFolder)) continue;
    try {
      unlinkSync(path);
    } catch (error) {
      // systemd took it away meanwhile.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
      report(`Cannot delete ${path}: ${(error as Error).message}. It won't be sent again.`);
    }
  }
}

function hashOf(parts: string[]): string {
  return createHash("sha256").update(parts.join(" ")).digest("hex").slice(0, 24);
}
