/**
 * Which boot died before this one and what was acknowledged of it, known as long as this boot lasts:
 * the checkpoint goes on to this boot, and of a boot that was all offline it never knew.
 *
 *     {"boot":"this boot","died":{"boot":"...","position":{...}}}
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { DurableJson } from "../shared/durable_json.ts";
import type { Position } from "./checkpoint.ts";
import type { Died } from "./pstore/pstore.ts";

interface Boots {
  boot: string;
  died?: Died | undefined;
}

/**
 * Notes in the state folder that the agent runs in `boot`, and returns what it knows of the one
 * before. `position` is kmsg's checkpoint, before anything of this boot is shipped.
 */
export async function diedBoot(
  state: string,
  boot: string,
  position: Position | undefined,
  warn: (text: string) => void,
): Promise<Died | undefined> {
  const file = new DurableJson<Boots>(join(state, "boots.json"), {
    check,
    unreadable: "The boot that died is taken from the checkpoint.",
    unsaved: "Last words of a boot may be sent twice.",
    warn,
  });
  const known = await file.load();
  if (known?.boot === boot) return known.died;
  const died = diedBefore(boot, known?.boot, position);
  await file.save({ boot, died });
  await syncFolder(state);
  return died;
}

/** A file that was renamed may have its old name again after a panic, up to then: this one is written once. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, "r");
    await folder.sync().finally(() => folder.close());
  } catch { /* that nothing can be saved has been said */ }
}

function diedBefore(
  boot: string,
  lastRun: string | undefined,
  position: Position | undefined,
): Died | undefined {
  const acknowledged = position?.boot === boot ? undefined : position;
  if (lastRun === undefined || lastRun === acknowledged?.boot) {
    return acknowledged && { boot: acknowledged.boot, position: acknowledged };
  }
  // The agent ran in it, but nothing of it was ever acknowledged.
  return { boot: lastRun };
}

function check(value: unknown): Boots {
  const { boot, died } = value as Boots;
  const names = died === undefined ? [] : [died.boot];
  const position = died?.position;
  const texts = [boot, ...names, position?.boot ?? "", position?.hash ?? ""];
  if (!texts.every((text) => typeof text === "string")) throw new Error("it isn't two boots");
  return { boot, died };
}
