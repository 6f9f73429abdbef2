/** What was asked for on the command line in, what the search needs out. */
import { limits } from "../../shared/limits.ts";
import { UsageError } from "../../shared/options.ts";
import { parseRange, type TimeRange } from "../history/time_range.ts";
import type { StoredPlace } from "../reading/open_stored.ts";
import { planRules } from "../sieve/plan.ts";
import { type AskedDevices, askedDevices } from "./asked_devices.ts";
import { type AskedRegex, checkRegex, ruleOf } from "./asked_regex.ts";
import { FrameTexts } from "./frame_texts.ts";
import { GramQuery } from "./gram_query.ts";
import type { Wanted } from "./frame_searcher.ts";
import type { GrepOptions } from "./grep.ts";
import { parseLevel } from "./level.ts";
import { openSources } from "./sources.ts";
import type { TaskSource } from "./tasks.ts";

export interface Asked extends StoredPlace {
  since?: string | undefined;
  until?: string | undefined;
  devices?: string | undefined;
  level?: string | undefined;
  source?: string | undefined;
  "ignore-case": boolean;
  count: boolean;
  before?: number | undefined;
  after?: number | undefined;
  context?: number | undefined;
}

export interface Prepared {
  wanted: Wanted;
  grep: GrepOptions;
  sources: TaskSource[];
  storedBytesTotal: number;
  isFiltered: boolean;
  unknown: AskedDevices["unknown"];
}

/** Throws `UsageError`, `StorageError`, `ArchiveError`. */
export async function prepare(
  words: readonly string[],
  asked: Asked,
  nowMs: number,
  warn: (text: string) => void,
): Promise<Prepared> {
  // What can be wrong with the words themselves is said before anything is waited for.
  const regex = { source: oneRegex(words), ignoreCase: asked["ignore-case"] };
  checkRegex(regex);
  const range = rangeOf(asked, nowMs);
  const level = asked.level === undefined ? undefined : parseLevel(asked.level);
  const around = aroundOf(asked);
  const { storage, index, sources } = await openSources(asked, warn);
  const { devices, unknown } = await askedDevices(
    asked.devices,
    asked,
    () => index?.devices() ?? [],
  );
  warnSlow(regex, warn);
  const clocks = range !== undefined || !asked.count;
  const wanted = {
    ...regex,
    devices,
    from: asked.source,
    level,
    clocks,
    allBlocks: around !== undefined,
  };
  // What stands around a match is in frames in which nothing matches.
  const query = around ? undefined : GramQuery.of(regex);
  const selection = { ...received(range), ...(devices ? { devices } : {}) };
  return {
    wanted,
    grep: { range, level, around, countOnly: asked.count, texts: new FrameTexts(storage) },
    ...await sources(selection, { query, clocks }),
    unknown,
  };
}

function oneRegex(words: readonly string[]): string {
  const [word] = words;
  if (words.length === 1 && word !== "") return word!;
  const it = words.length === 0 ? "none is there" : `it is ${words.join(" ")}`;
  throw new UsageError(`Cannot look for anything because there must be one regex: ${it}`);
}

function rangeOf(asked: Asked, nowMs: number): TimeRange | undefined {
  const isAll = (asked.since ?? asked.until) === undefined;
  return isAll ? undefined : parseRange(asked, nowMs);
}

/** Records are received later than they are written; clock records shortly before say what time it is. */
function received(range: TimeRange | undefined): TimeRange {
  if (!range) return { sinceUs: 0, untilUs: Infinity };
  return {
    sinceUs: range.sinceUs - limits.narrativeBeforeMs * 1000,
    untilUs: range.untilUs + limits.historyLateMs * 1000,
  };
}

function aroundOf({ before, after, context, count }: Asked): GrepOptions["around"] {
  const around = { before: before ?? context ?? 0, after: after ?? context ?? 0 };
  const most = Math.max(around.before, around.after);
  if (count || most === 0) return undefined;
  if (Number.isInteger(most) && most <= limits.grepContextMax) return around;
  throw new UsageError(
    `Cannot show so much around a match because it must be whole records, at most ` +
      `${limits.grepContextMax}: it is ${most}`,
  );
}

function warnSlow(regex: AskedRegex, warn: (text: string) => void): void {
  const [{ literals, cost }] = planRules([ruleOf(regex)]) as [ReturnType<typeof planRules>[0]];
  if (literals) return;
  warn(
    `no plain text of ${limits.literalBytesMin} bytes or longer is in everything that matches, so every ` +
      `record is looked at: some ${(cost / 1e6).toFixed(0)} ms for each MiB of log text`,
  );
}
