/**
 * Makes a flood: devices that come back at once, each with a backlog, until every one of them is
 * through. A process of its own, since open files are limited for each process; several share the
 * devices. Devices that find no file free wait their turn, before they connect.
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { limits } from "../../shared/limits.ts";
import { programOptions } from "../../shared/options.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { allow, identities } from "./devices.ts";
import { LogFrames, placesOf } from "./frames.ts";
import { ownCpuMs, receiverUrl, tell, tokens, Wheel } from "./generator.ts";
import { Latencies } from "./latencies.ts";
import { type Fleet, LiveStream, Totals } from "./live_stream.ts";
import { postHead, Wire } from "./wire.ts";

const { values } = programOptions("Usage: bun bench/receiver/flood.ts [OPTIONS]", {
  allow: { type: "text", unit: "file", default: "devices", help: "allow-list to be written" },
  acked: { type: "text", unit: "file", default: "acked.json", help: "what became of each device" },
  first: { type: "number", unit: "device", default: 0, help: "the first one's number" },
  devices: { type: "number", unit: "devices", default: 50_000, help: "how many" },
  rate: { type: "number", unit: "B/s", default: 579, help: "of text, while they were away" },
  away: { type: "number", unit: "s", default: 60, help: "how long they were away" },
  within: { type: "number", unit: "s", default: 5, help: "time in which all come back" },
  open: { type: "number", unit: "sockets", default: 18_000, help: "open at a time" },
  most: { type: "number", unit: "s", default: 240, help: "then it gives up" },
}, process.argv.slice(2));

const tickMs = 5;
/** Each address of the loopback network has ports of its own: 28,000 to one of them aren't enough. */
const addresses = 16;

const devices = await identities(values.first, values.first + values.devices);
allow(values.allow, devices, values.first);
// In an outage the agent makes larger frames.
const frames = new LogFrames(values.rate, limits.offlineFlushMs);
const places = placesOf(values.rate, limits.offlineFlushMs);
const units = Math.ceil(values.away * 1000 / limits.offlineFlushMs);
// Before the clock starts: they are good for five minutes.
const signed = await tokens(devices);
tell("ready", { compression: frames.compression(0, Math.min(places, values.devices) + units) });
const url = await receiverUrl();

const startMs = performance.now() + 100;
const wheel = new Wheel<LiveStream>(tickMs, startMs);
const totals = new Totals();
const random = seededRandom(values.first);
/** When each was back, and when all of its backlog was durable. */
const backMs = devices.map(() => startMs + random() * values.within * 1000);
const doneMs = new Float64Array(values.devices).fill(-1);
/** Devices that would connect and have no file. */
const queue: LiveStream[] = [];
let files = 0;
let left = values.devices;

const fleet: Fleet = {
  frames,
  unitMs: limits.offlineFlushMs,
  unitsMax: 1,
  latencies: new Latencies(),
  totals,
  head: (device) => {
    const token = signed[device - values.first]!;
    return postHead({ host: url.host, token, device, mode: "live", ack: "live" });
  },
  connect: (stream) => void queue.push(stream),
  schedule: (atMs, stream) => wheel.add(atMs, stream),
  ended: (stream) => {
    doneMs[stream.device - values.first] = performance.now() -
      backMs[stream.device - values.first]!;
    left--;
  },
};
const streams = devices.map((_, i) => {
  const first = (values.first + i) % places;
  const awaySinceMs = backMs[i]! - values.away * 1000;
  const stream = new LiveStream(values.first + i, fleet, awaySinceMs, first, first + units, true);
  wheel.add(backMs[i]!, stream);
  return stream;
});

const cpuBeforeMs = ownCpuMs();
let second = 0;
while (left > 0 && performance.now() < startMs + values.most * 1000) {
  const nowMs = performance.now();
  wheel.run(nowMs, (stream) => stream.due(nowMs));
  connectSome();
  if (nowMs - startMs >= (second + 1) * 1000) {
    second = Math.floor((nowMs - startMs) / 1000);
    tell("second", { second, left, queued: queue.length, files, ...totals });
    for (const stream of streams) stream.giveUpWhenStalled(nowMs);
  }
  await wheel.wait();
}
const acked = streams.map((stream) => stream.acked);
writeFileSync(values.acked, JSON.stringify({ first: values.first, acked, doneMs: [...doneMs] }));
tell("done", {
  ...totals,
  unfinished: left,
  latencyMs: fleet.latencies.summary(),
  cpuMs: Math.round(ownCpuMs() - cpuBeforeMs),
  seconds: Math.round((performance.now() - startMs) / 100) / 10,
});
process.exit(0);

function connectSome(): void {
  const room = Math.min(queue.length, values.open - files);
  for (const stream of queue.splice(0, Math.max(0, room))) {
    files++;
    const address = url.hostname.replace(/\d+$/, String(1 + stream.device % addresses));
    Wire.connect(address, Number(url.port), {
      opened: (wire) => stream.opened(wire),
      status: (status, header) => stream.status(status, header),
      line: (text) => stream.line(text),
      closed: (why) => {
        files--;
        stream.closed(why);
      },
    });
  }
}
