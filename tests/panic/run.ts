/** One variant from an empty storage to what is found in it: receiver, guest, grinder, one after the other. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  bunPath,
  denoPath,
  grinderPermissions,
  root,
  startGrinder,
  startReceiver,
} from "../programs.ts";
import type { EventLine } from "../verify/events.ts";
import { type Verdict, verify } from "../verify/verify.ts";
import { type GuestLogs, runGuest } from "./guest.ts";
import { buildState, type Images } from "./images.ts";
import { readTimeline, type TimelineBoot } from "./timeline.ts";
import type { Variant } from "./variants.ts";

const device = "livingroom-tv";
const rules = join(root, "tests/panic/rules.ts");

export interface Outcome {
  logs: GuestLogs;
  boots: TimelineBoot[];
  events: EventLine[];
  verdict: Verdict;
}

/** `folder` is to be empty, and holds everything afterwards. */
export async function runVariant(
  variant: Variant,
  images: Images,
  folder: string,
): Promise<Outcome> {
  mkdirSync(folder, { recursive: true });
  const [data, key] = [join(folder, "data"), join(folder, "key")];
  const thumbprint = program("agent/main.ts", "identity", "--state", key).trim();
  // A thumbprint may begin with a dash.
  program("receiver/main.ts", "allow", "--device", device, "--data", data, "--", thumbprint);
  const state = buildState(key, folder);
  const logs = await ship(variant, { images, state, folder, data });
  // What was committed while the grinder stopped is ground now.
  await (await startGrinder(data, "--rules", rules, "--once")).exited();
  return {
    logs,
    boots: await readTimeline(data),
    events: readEvents(join(data, "events")),
    verdict: await verify({ data, rules }),
  };
}

/** What `deno task narrative` tells of the device, from where a variant was run. */
export function narrativeIn(folder: string): string {
  const data = join(folder, "data");
  const words = ["grinder/narrative/main.ts", device, "--data", data, "--rules", rules];
  return execFileSync(denoPath, ["run", ...grinderPermissions, ...words], {
    cwd: root,
    encoding: "utf8",
  });
}

/** The guest's whole life, with a receiver and a grinder beside it. */
async function ship(
  { boots, recordBytes = 1 << 20, maxReason = 2 }: Variant,
  { data, ...places }: { images: Images; state: string; folder: string; data: string },
): Promise<GuestLogs> {
  const receiver = await startReceiver(data, "--port", "0");
  const grinder = await startGrinder(data, "--rules", rules);
  const receiverPort = Number(new URL(receiver.url).port);
  try {
    return await runGuest({ ...places, boots, receiverPort, recordBytes, maxReason });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${receiver.program.output}`, { cause: error });
  } finally {
    await receiver.program.stop();
    await grinder.stop();
  }
}

function program(...args: string[]): string {
  return execFileSync(bunPath, args, { cwd: root, encoding: "utf8" });
}

function readEvents(folder: string): EventLine[] {
  return readdirSync(folder).sort().flatMap((file) =>
    readFileSync(join(folder, file), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line))
  );
}
