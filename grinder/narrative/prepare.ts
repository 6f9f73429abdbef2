/** What was asked for on the command line in, what the narrative needs out. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { isName } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import { UsageError } from "../../shared/options.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import { type BuiltIn, builtInEvents, checkBuiltIn } from "../built_in.ts";
import { parseRange, type TimeRange } from "../history/time_range.ts";
import { devicesOf, type LabelledDevice } from "../reading/device_words.ts";
import { openStored, outOf, type StoredPlace } from "../reading/open_stored.ts";
import type { Rule } from "../rule.ts";
import { findEvent, parseAround } from "./around.ts";
import { KnownDevices } from "./known_devices.ts";
import { Margin } from "./margin.ts";
import type { NarrativeOptions } from "./narrative.ts";

export interface Asked extends StoredPlace {
  since?: string | undefined;
  until?: string | undefined;
  around?: string | undefined;
  minutes: number;
  devices?: string | undefined;
  rules: string;
}

export interface Prepared {
  options: NarrativeOptions;
  known: KnownDevices;
  storage: Storage;
}

/** Throws `UsageError`, `RulesError`, `StorageError`. */
export async function prepare(
  words: readonly string[],
  asked: Asked,
  nowMs: number,
  warn: (text: string) => void,
): Promise<Prepared> {
  // What can be wrong with the words themselves is said before anything is waited for.
  const word = deviceWord(words, asked);
  const range = rangeOf(asked, nowMs);
  const [{ storage, stored, index }, named, rules] = await Promise.all([
    openStored(asked, warn),
    namedDevices(word, asked),
    loadMargin(asked.rules),
  ]);
  const event = asked.around === undefined
    ? undefined
    : await findEvent(outOf(asked), asked.around, named);
  const devices = named.length === 0 && event ? [event.device] : named;
  checkDevices(devices, word);
  return {
    storage,
    options: { stored, devices, range: event ? aroundRange(event.wallUs, asked) : range, ...rules },
    known: new KnownDevices(() => listedDevices(asked), () => index?.devices() ?? []),
  };
}

/** `--devices`, or the only word; undefined where an event says it. */
function deviceWord(words: readonly string[], { devices, around }: Asked): string | undefined {
  const all = devices === undefined ? words : [...words, devices];
  const [word] = all;
  const isOne = all.length === 1 || (all.length === 0 && around?.includes(":"));
  if (isOne && (word === undefined || word === devices || isName(word))) return word;
  throw new UsageError(
    "Cannot tell anything because one device must be named, or several with --devices: " +
      (all.length === 0 ? "none is" : `it is ${all.join(" ")}`),
  );
}

function rangeOf({ since, until, around, minutes }: Asked, nowMs: number): TimeRange {
  if (around === undefined) return parseRange({ since, until }, nowMs);
  parseAround(around);
  if ((since ?? until) !== undefined) {
    throw new UsageError("Cannot use --around with --since or --until because it says the time");
  }
  if (minutes > 0) return { sinceUs: 0, untilUs: 0 };
  throw new UsageError(`Cannot use --minutes because it must be above 0: it is ${minutes}`);
}

function aroundRange(wallUs: number, { minutes }: Asked): TimeRange {
  return { sinceUs: wallUs - minutes * 60e6, untilUs: wallUs + minutes * 60e6 };
}

function checkDevices(devices: readonly string[], word: string | undefined): void {
  const most = limits.narrativeDevicesMax;
  if (devices.length > 0 && devices.length <= most) return;
  const { length } = devices;
  throw new UsageError(
    `Cannot tell of ${word} because it must be 1 to ${most} devices: it is ${length}`,
  );
}

async function namedDevices(word: string | undefined, asked: Asked): Promise<string[]> {
  if (word === undefined) return [];
  return devicesOf(word, word.includes("=") ? await listedDevices(asked) : []);
}

/** The list isn't waited for, nor what reads it, where devices are named that have something to tell. */
async function listedDevices(asked: Asked): Promise<LabelledDevice[]> {
  const [{ AllowList }, { listPlace, openPlaces }] = await Promise.all([
    import("../../shared/allowlist.ts"),
    import("../../shared/allowlist_place.ts"),
  ]);
  const list = await AllowList.open(listPlace(await openPlaces(asked.data, asked)));
  return [...list.devices()];
}

async function loadMargin(path: string): Promise<Pick<NarrativeOptions, "margin" | "stepUsMin">> {
  const { rules, builtIn } = await importRules(path);
  return {
    margin: new Margin(rules, builtIn),
    stepUsMin: builtIn.clockStep?.atLeastUs ?? Infinity,
  };
}

/**
 * Not checked as a grinder does it, which takes longer than all the rest until the first line. One that
 * can't be had is loaded as a grinder does it, for the words that are said then.
 */
async function importRules(path: string): Promise<{ rules: readonly Rule[]; builtIn: BuiltIn }> {
  const module = await import(pathToFileURL(resolve(path)).href).catch(() => ({}));
  const { default: rules, builtIn = builtInEvents() } = module;
  if (Array.isArray(rules) && checkBuiltIn(builtIn).length === 0) return { rules, builtIn };
  const { loadBuiltIn, loadRules } = await import("../load_rules.ts");
  return { rules: await loadRules(path), builtIn: await loadBuiltIn(path) };
}
