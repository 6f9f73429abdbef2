/**
 * For tests: a simulated fleet as receivers hear it, in which devices restart, panic, lose power or
 * their network, and receivers fail; and what should be said of it.
 */
import { type BlockHeader } from "../shared/block.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import type { BuiltInEvent } from "./built_in.ts";
import type { BuiltInEvents } from "./built_in_events.ts";
import { header } from "./fixtures.ts";
import type { End } from "./reboots.ts";

/** A block: a sync record, or ordinary records, or a boot's last words. */
export interface SimBlock {
  receiver: string;
  /** When it was received, by a clock that is right. */
  atUs: number;
  header: BlockHeader;
  usec: number;
  syncWallUs?: number;
  end?: End;
}

export interface Trouble {
  fromS: number;
  toS: number;
  devices: readonly number[];
  /** Off: no power between the two. The others restart the device at `fromS`, and are back at `toS`. */
  kind: "offline" | "off" | "clean" | "panic";
}

export interface FleetOptions {
  devices: number;
  lengthS: number;
  startUs: number;
  troubles?: Trouble[];
  receivers?: readonly string[];
  /** What a receiver can't take waits in its devices; they know no other one, unless they fail over. */
  receiverDown?: { receiver: string; fromS: number; toS: number; failOver: boolean };
  /** These are on the other receiver in this time, though their own is well. */
  roaming?: { fromS: number; toS: number; devices: readonly number[] };
  /** How far a receiver's clock is ahead. */
  aheadS?: Record<string, number>;
  /** Seconds between two blocks; a heartbeat, if it isn't said. */
  everyS?: (device: number) => number;
}

export function simulateFleet(seed: number, options: FleetOptions): SimBlock[] {
  const blocks: SimBlock[] = [];
  for (let device = 0; device < options.devices; device++) {
    blocks.push(...deviceBlocks(seed * 1000 + device, device, options));
  }
  return blocks.sort((a, b) => a.atUs - b.atUs);
}

function deviceBlocks(seed: number, index: number, options: FleetOptions): SimBlock[] {
  const random = seededRandom(seed);
  const { startUs, lengthS, receivers = ["r1"], receiverDown: down, roaming, troubles = [] } =
    options;
  const mine = troubles.filter(({ devices }) => devices.includes(index));
  const own = receivers[index % receivers.length]!;
  const blocks: SimBlock[] = [];
  let [boot, bootS, boots] = [`b${index}-0`, -1000, 0];
  let backlogFromS: number | undefined;
  const put = (atS: number, block: Partial<SimBlock> & { boot?: string; usec: number }) => {
    const isDown = down?.receiver === own && atS >= down.fromS && atS < down.toS;
    const roams = roaming?.devices.includes(index) && atS >= roaming.fromS && atS < roaming.toS;
    const receiver = isDown || roams ? receivers.find((name) => name !== own)! : own;
    const atUs = Math.round(startUs + (atS + 0.005 + random() * 0.1) * 1e6);
    const recvUs = atUs + (options.aheadS?.[receiver] ?? 0) * 1e6;
    const names = { device: `d${index}`, boot: block.boot ?? boot };
    blocks.push({ receiver, atUs, ...block, header: header({ ...names, recvUs }) });
  };
  for (let s = random() * 30; s < lengthS;) {
    const trouble = mine.find(({ fromS, toS }) => s >= fromS && s < toS);
    if (trouble && trouble.kind !== "offline") {
      const before = { boot, usec: Math.round((trouble.fromS - bootS) * 1e6) };
      if (trouble.kind === "clean") put(trouble.fromS, { usec: before.usec, end: "clean" });
      if (trouble.toS >= lengthS) break;
      bootS = trouble.toS;
      boot = `b${index}-${++boots}`;
      s = bootS + 8;
      put(s, { usec: 8e6, syncWallUs: startUs + s * 1e6 });
      if (trouble.kind === "panic") put(s + 2, { ...before, end: "panic" });
      // A backlog of the boot that ended, from the disk: it must be no reboot.
      put(s + 3, { boot: before.boot, usec: before.usec - 1e6 });
      s += 20;
      continue;
    }
    const isDown = down?.receiver === own && s >= down.fromS && s < down.toS;
    if (trouble || (isDown && !down.failOver)) backlogFromS ??= s;
    else {
      put(s, { usec: Math.round((s - bootS) * 1e6), syncWallUs: Math.round(startUs + s * 1e6) });
      if (backlogFromS !== undefined) {
        put(s + 0.5, { usec: Math.round((backlogFromS - bootS) * 1e6) });
      }
      backlogFromS = undefined;
    }
    const nextS = s + (options.everyS?.(index) ?? 30) * (0.95 + random() / 10);
    s = Math.min(nextS, ...mine.map(({ fromS }) => fromS).filter((fromS) => fromS > s));
  }
  return blocks;
}

/** Gives one block to what is tested; returns what it says at once. */
export function feed(
  events: BuiltInEvents,
  block: Omit<SimBlock, "atUs">,
): readonly BuiltInEvent[] {
  const { receiver, header, usec, syncWallUs, end } = block;
  events.frame(receiver);
  events.block(header, usec);
  if (end) events.ended(header, usec, end);
  if (syncWallUs === undefined) return [];
  const place = { segment: `${receiver}/e/0`, offset: 0, line: 0 };
  return events.sync(header, { seq: 1, usec, wallUs: syncWallUs, synced: true }, () => place);
}

/** All that is said, if all that came is looked at so often; `gapS`: not in this time. */
export function live(
  events: BuiltInEvents,
  blocks: SimBlock[],
  lookS: number,
  untilUs: number,
  gapS: readonly [fromS: number, toS: number] = [0, 0],
): BuiltInEvent[] {
  const said: BuiltInEvent[] = [];
  const startUs = blocks[0]!.atUs;
  let lookUs = startUs;
  const lookUntil = (us: number) => {
    for (; lookUs < us; lookUs += lookS * 1e6) {
      const s = (lookUs - startUs) / 1e6;
      if (s < gapS[0] || s >= gapS[1]) said.push(...events.look(lookUs));
    }
  };
  for (const block of blocks) {
    lookUntil(block.atUs);
    said.push(...feed(events, block));
  }
  lookUntil(untilUs);
  return said;
}

/** What identifies an event, and what it says. */
export function brief(events: readonly BuiltInEvent[]): string[] {
  return events.map(({ rule, header, time, labels, value }) =>
    `${rule} ${header.device} ${Math.round(time.wallUs / 1e5)} ${Object.values(labels)} ${
      value?.toFixed(1)
    }`
  ).sort();
}
