/** The narrative as a program: which devices and which time are told of, from where, and how. */
import process from "node:process";
import { programOptions, UsageError } from "../../shared/options.ts";
import { storageOptions } from "../../shared/storage/open.ts";
import { StorageError } from "../../shared/storage/storage.ts";
import { ArchiveError } from "../archive/place.ts";
import { RulesError } from "../load_rules.ts";
import { EntryText } from "./entry_text.ts";
import { entryJson } from "./entry_json.ts";
import { UnknownDeviceError } from "./known_devices.ts";
import { narrative } from "./narrative.ts";
import { Output } from "./output.ts";
import { prepare } from "./prepare.ts";
import { styleOf } from "./style.ts";

const { values, positionals } = programOptions(
  `
Usage: deno task narrative DEVICE [OPTIONS]               what a device said, in order, and what happened to it
       deno task narrative DEVICE --around kernel_panic   around the newest such event; kernel_panic:2, the one before
       deno task narrative --devices city=Berlin          several devices, interleaved by time`,
  {
    since: { type: "text", unit: "time", help: "from so long ago (2h), or an ISO time" },
    until: { type: "text", unit: "time", help: "to then (default: now)" },
    around: {
      type: "text",
      unit: "event",
      help: "the time around it: RULE, RULE:N (the Nth newest), or a line, as " +
        "SEGMENT:OFFSET:LINE of an event",
    },
    minutes: { type: "number", unit: "min", default: 5, help: "--around: before and after" },
    devices: {
      type: "text",
      unit: "names|labels",
      help: "router1,router2 or city=Berlin,model=R2",
    },
    json: { type: "flag", unit: "", help: "a line of JSON for each entry" },
    ...storageOptions,
    out: {
      type: "text",
      unit: "folder",
      help: "the grinder's outputs: its index, and the events (default: --data, or ./data with S3)",
    },
    rules: { type: "text", unit: "file", default: "./rules.ts", help: "what is in the margin" },
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`narrative: ${text}`);

async function main(): Promise<number> {
  const { options, known } = await prepare(positionals, values, Date.now(), say);
  const out = new Output(process.stdout);
  const style = styleOf(process.stdout.isTTY === true, process.env);
  const text = new EntryText({ style, devices: options.devices });
  const told = new Set<string>();
  for await (const entry of narrative(options)) {
    told.add(entry.device);
    await out.write(values.json ? entryJson(entry) : text.of(entry));
    if (out.closed) return 0;
  }
  await out.flush();
  const untold = options.devices.filter((device) => !told.has(device));
  await known.refuseUnknown(untold);
  if (untold.length > 0) say(`nothing is stored of that time of ${untold.join(", ")}`);
  return 0;
}

const status = await main().catch((error: unknown) => {
  const isUsage = error instanceof UsageError;
  const isTold = isUsage ||
    [StorageError, RulesError, ArchiveError, UnknownDeviceError].some((kind) =>
      error instanceof kind
    );
  say(isTold ? (error as Error).message : String((error as Error).stack ?? error));
  return isUsage ? 2 : 1;
});
process.exit(status);
