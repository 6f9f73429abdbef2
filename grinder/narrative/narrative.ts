/**
 * What was stored of devices in, their entries out, interleaved by time. Each device is read on its own:
 * what one sent hours later stands where it belongs, and the others needn't be held for it.
 */
import { limits } from "../../shared/limits.ts";
import type { BootClocks } from "../boot_clocks.ts";
import type { TimeRange } from "../history/time_range.ts";
import type { Selection } from "../reading/frame_source.ts";
import { nameHash } from "../reading/name_hash.ts";
import { Once } from "../reading/once.ts";
import type { Stored } from "../reading/stored.ts";
import { DeviceOrder } from "./device_order.ts";
import type { Entry } from "./entry.ts";
import type { Margin } from "./margin.ts";
import { Missing } from "./missing.ts";
import { Teller } from "./teller.ts";

export interface NarrativeOptions {
  stored: Stored;
  devices: readonly string[];
  /** Of the time when things happened. */
  range: TimeRange;
  margin: Margin;
  /** The shortest step of a device's wall clock that is told. */
  stepUsMin: number;
}

/** So far records of one boot may be out of order. */
const doubtUs = 60e6;

/** Throws `StorageError`. */
export async function* narrative(options: NarrativeOptions): AsyncGenerator<Entry> {
  const stories = await Promise.all(options.devices.map(async (device) => {
    const entries = deviceNarrative(device, options);
    return { entries, next: await entries.next() };
  }));
  const running = stories.filter(({ next }) => !next.done);
  while (running.length > 0) {
    const first = running.reduce((a, b) => timeOf(b) < timeOf(a) ? b : a);
    yield first.next.value as Entry;
    first.next = await first.entries.next();
    if (first.next.done) running.splice(running.indexOf(first), 1);
  }
}

function timeOf({ next }: { next: IteratorResult<Entry> }): number {
  return (next.value as Entry).time.wallUs;
}

async function* deviceNarrative(
  device: string,
  { stored, range, margin, stepUsMin }: NarrativeOptions,
): AsyncGenerator<Entry> {
  const once = new Once();
  const missing = new Missing((header) => once.seen(header));
  const order = new DeviceOrder(stepUsMin, (header, record) => missing.explain(header, record));
  const { clocks } = order;
  const teller = new Teller({ device, range, clocks, missing, margin });
  const boots = new Map<number, string>();
  for await (const found of stored.blocks(selectionOf(device, range, clocks, boots), once)) {
    for (const { header: { boot } } of found.blocks) boots.set(nameHash(boot), boot);
    for (const item of order.take(found)) yield* teller.tell(item);
  }
  for (const item of order.end()) yield* teller.tell(item);
}

/**
 * What may hold records of the range: they are received later than they are written. What came long
 * after it is passed over where the boot's clock shows that it was written after it as well.
 */
function selectionOf(
  device: string,
  { sinceUs, untilUs }: TimeRange,
  clocks: BootClocks,
  boots: ReadonlyMap<number, string>,
): Selection {
  return {
    sinceUs: sinceUs - limits.narrativeBeforeMs * 1000,
    untilUs: untilUs + limits.historyLateMs * 1000,
    devices: new Set([device]),
    skips: ({ boot: hash, firstUsec }) => {
      const boot = boots.get(hash);
      if (boot === undefined) return false;
      return (clocks.endUs({ device, boot }, firstUsec - doubtUs) ?? 0) >= untilUs;
    },
  };
}
