/**
 * The last words of boots that died, as sources: one finite stream for each boot that left dumps. They
 * have no seqs: these are the places in the tail that is shipped. Some of it may be stored as kmsg
 * records already, since acknowledgements can die in the panic; the grinder drops those. Where the boot
 * that died left nothing, or not all, a gap says so (lost_end.ts).
 */
import { createHash } from "node:crypto";
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import type { LogRecord } from "../../shared/record.ts";
import { type Position, recordHash } from "../checkpoint.ts";
import type { Source } from "../source.ts";
import type { DumpLine } from "./dump.ts";
import { findDumps } from "./find.ts";
import { type BootTail, joinBoots } from "./join.ts";
import { LostEnd } from "./lost_end.ts";
import { endOfBoot, type KnownDump, Shipped } from "./shipped.ts";

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
/** A second or so. What isn't found until then is sent again, and recognised: the newest is looked at first. */
const hashesMax = 200_000;
/** Facilities kernel, user, mail and daemon with all levels: what a console line may have been. */
const priosTried = Array.from({ length: 32 }, (_, prio) => prio);

export class PstoreTail implements LastWords {
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

  shipped(): void {
    if (!this.#cut) this.forget();
  }
}

/** What is to be said of boots that are over. */
export interface LastWords extends Source {
  /** To be called when all that was read is acknowledged: if that is all, it is never shipped again. */
  shipped(): void;
}

/** What boots that died have left and is not shipped yet, oldest first; before it what is lost of them. */
export function openPstore(options: PstoreOptions): LastWords[] {
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
  const lost = lostEnd(boots[own], shipped, options);
  const tails = boots.flatMap((boot, index) => {
    const died = index === own ? options.died : undefined;
    const ended = died ? [endOfBoot(died.boot)] : [];
    const forget = () => forgetDumps([...boot.dumps, ...ended], kernelFolder, shipped, report);
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
  return lost ? [lost, ...tails] : tails;
}

/** That something may be missing behind what is acknowledged of the boot that died; said once. */
function lostEnd(
  tail: BootTail | undefined,
  shipped: Shipped,
  { died, ringSurvived }: PstoreOptions,
): LostEnd | undefined {
  if (!died) return undefined;
  const end = endOfBoot(died.boot);
  if (shipped.hasFile(end)) return undefined;
  const tell = () => shipped.add([end]);
  // It tells by itself what it has lost, and forgets in time that there was another boot.
  if (ringSurvived) return void tell();
  const isWhole = tail &&
    (died.position ? acknowledged(tail.lines, died.position) > 0 : begins(tail));
  return isWhole ? undefined : new LostEnd(died, tail?.lines[0]?.usec ?? 0, tell);
}

/** The dump has its boot from the beginning on. */
function begins({ dumps, lines }: BootTail): boolean {
  return dumps[0]!.kind === "dmesg" && lines[0]?.usec === 0 && lines[0].timed;
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
  return died.position && begins(newest) ? -1 : boots.length - 1;
}

/** How many of the lines are at or before the record that is acknowledged; 0 if it isn't there. */
function acknowledged(lines: DumpLine[], position: Position | undefined): number {
  if (!position) return 0;
  const search = { hash: position.hash, hashesLeft: hashesMax };
  for (let end = lines.length; end > 0 && search.hashesLeft > 0; end--) {
    if (endsRecord(lines, end, search)) return end;
  }
  return 0;
}

interface Search {
  hash: string;
  hashesLeft: number;
}

/** A record of several lines stands in a dump line by line, each with the same time. */
function endsRecord(lines: DumpLine[], end: number, search: Search): boolean {
  const { usec, prio } = lines[end - 1]!;
  let text = "";
  for (let at = end - 1; at >= Math.max(0, end - recordLinesMax); at--) {
    const line = lines[at]!;
    // A line without a time is no record's: a kernel that prints times prints one before each.
    if (!line.timed || line.usec !== usec || line.prio !== prio) return false;
    text = text === "" ? line.text : `${line.text}\\x0a${text}`;
    const prios = prio === undefined ? priosTried : [prio];
    search.hashesLeft -= prios.length;
    if (prios.some((tried) => recordHash({ prio: tried, usec, text }) === search.hash)) return true;
  }
  return false;
}

function recordOf({ prio = consolePrio, usec, fields, text }: DumpLine, seq: number): LogRecord {
  return { prio, seq, usec, flag: "p", fields, text, more: [] };
}

/** Remembered first: what can't be deleted must not come again. */
function forgetDumps(
  dumps: KnownDump[],
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
