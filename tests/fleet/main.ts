/** The fleet as a program: devices, a while, and what became of what they wrote. */
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { Fleet } from "./fleet.ts";
import { formatStats, limited } from "./report.ts";

const usage = `
Usage: bun run fleet [OPTIONS]     simulate devices that upload their logs
Exit status 1 if something was written and not acknowledged in the end.`;

const { values } = programOptions(usage, {
  receiver: { type: "list", unit: "url", help: "where to upload to (default: 127.0.0.1:4750)" },
  data: {
    type: "text",
    unit: "folder",
    help: "the receiver's folder: the devices are let in in its file `devices`",
  },
  devices: { type: "number", unit: "devices", default: 20, help: "how many" },
  rate: { type: "number", unit: "bytes", default: 579, help: "text per second, each device" },
  seconds: { type: "number", unit: "s", default: 60, help: "for how long; 0: until interrupted" },
  seed: { type: "number", unit: "number", help: "for the same text again (default: by chance)" },
  prefix: { type: "text", unit: "name", default: "sim", help: "what devices are called" },
  audience: {
    type: "text",
    unit: "name",
    default: "logmill",
    help: "the receiver's name in tokens",
  },
  journal: { type: "text", unit: "file", help: "where to write what was acknowledged" },
  reboots: { type: "number", unit: "s", help: "mean time between reboots of a device" },
  crashes: { type: "number", unit: "s", help: "mean time between a device's power failures" },
  cuts: { type: "number", unit: "s", help: "mean time until a connection breaks" },
  wait: { type: "number", unit: "s", default: 60, help: "time for the last acknowledgements" },
}, process.argv.slice(2));

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const say = (text: string) => console.error(`fleet: ${text}`);
const seed = values.seed ?? Math.floor(Math.random() * 2 ** 31);
const fleet = new Fleet({
  receivers: values.receiver.length > 0 ? values.receiver : ["http://127.0.0.1:4750"],
  devices: values.devices,
  bytesPerSecond: values.rate,
  seed,
  prefix: values.prefix,
  audience: values.audience,
  allowList: values.data === undefined ? undefined : join(values.data, "devices"),
  journalPath: values.journal,
  rebootSeconds: values.reboots || Infinity,
  crashSeconds: values.crashes || Infinity,
  cutSeconds: values.cuts || Infinity,
  // Connections that break on demand are no news.
  report: values.cuts ? () => {} : limited(say),
});

const interrupted = new Promise<void>((resolve) => {
  process.once("SIGINT", () => resolve());
  process.once("SIGTERM", () => resolve());
});
await fleet.start();
const startMs = performance.now();
say(`${values.devices} devices, ${values.rate} B/s each, seed ${seed}`);
setInterval(() => {
  const { records, acked, died, failures } = fleet.stats();
  say(`${records} records, ${records - acked - died} not acknowledged, ${failures} failed POSTs`);
}, 10_000);
await Promise.race([interrupted, ...(values.seconds > 0 ? [sleep(values.seconds * 1000)] : [])]);
const seconds = (performance.now() - startMs) / 1000;
const complete = await fleet.stop(values.wait * 1000);
console.log(formatStats(fleet.stats(), seconds));
if (!complete) say("not all was acknowledged");
process.exit(complete ? 0 : 1);
