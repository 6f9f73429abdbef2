/**
 * Makes live streams: a process of its own, since open files are limited for each process. Streams open
 * evenly over --ramp, then all of them send until --seconds later. What came of it is printed.
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { limits } from "../../shared/limits.ts";
import { programOptions } from "../../shared/options.ts";
import { allow, identities } from "./devices.ts";
import { LogFrames, placesOf } from "./frames.ts";
import { ownCpuMs, receiverUrl, tell, tokens, Wheel } from "./generator.ts";
import { Latencies } from "./latencies.ts";
import { type Fleet, LiveStream, Totals } from "./live_stream.ts";
import { postHead, Wire } from "./wire.ts";

const { values } = programOptions("Usage: bun bench/receiver/streams.ts [OPTIONS]", {
  allow: { type: "text", unit: "file", default: "devices", help: "allow-list to be written" },
  acked: { type: "text", unit: "file", default: "acked.json", help: "records acknowledged" },
  streams: { type: "number", unit: "streams", default: 10_000, help: "one device each" },
  rate: { type: "number", unit: "B/s", default: 8_000, help: "of text, for each stream" },
  frame: { type: "number", unit: "ms", default: 1_000, help: "time between frames" },
  ramp: { type: "number", unit: "s", default: 5, help: "time in which streams open" },
  seconds: { type: "number", unit: "s", default: 60, help: "after that" },
}, process.argv.slice(2));

const tickMs = 5;

const devices = await identities(0, values.streams);
allow(values.allow, devices);
const frames = new LogFrames(values.rate, values.frame);
const places = placesOf(values.rate, values.frame);
const unitsAll = Math.ceil((values.ramp + values.seconds) * 1000 / values.frame);
const compression = frames.compression(0, Math.min(places, values.streams) + unitsAll);
// Before the clock starts: they are good for five minutes.
const signed = await tokens(devices);
tell("ready", { compression });
const url = await receiverUrl();

const startMs = performance.now() + 100;
const steadyMs = startMs + values.ramp * 1000;
const endMs = steadyMs + values.seconds * 1000;
/** A receiver that has stopped answering must not keep us for ever. */
const giveUpMs = endMs + limits.intervalMs + limits.ackTimeoutMs;
const wheel = new Wheel<LiveStream>(tickMs, startMs);
const totals = new Totals();
let left = values.streams;
const fleet: Fleet = {
  frames,
  unitMs: values.frame,
  unitsMax: Math.max(1, Math.floor(limits.flushBytes / (values.rate * values.frame / 1000))),
  latencies: new Latencies(),
  totals,
  head: (device) =>
    postHead({ host: url.host, token: signed[device]!, device, mode: "live", ack: "live" }),
  connect: (stream) => Wire.connect(url.hostname, Number(url.port), stream),
  schedule: (atMs, stream) => wheel.add(atMs, stream),
  ended: () => void --left,
};
const streams = devices.map((_, device) => {
  const openMs = startMs + values.ramp * 1000 * device / values.streams;
  const first = device % places;
  const units = Math.floor((endMs - openMs) / values.frame);
  const stream = new LiveStream(device, fleet, openMs, first, first + units);
  wheel.add(openMs, stream);
  return stream;
});

const cpuBeforeMs = ownCpuMs();
let second = 0;
let steady = false;
while (left > 0 && performance.now() < giveUpMs) {
  const nowMs = performance.now();
  wheel.run(nowMs, (stream) => stream.due(performance.now()));
  if (!steady && nowMs >= steadyMs) tell("steady", totals);
  steady ||= nowMs >= steadyMs;
  if (nowMs - startMs >= (second + 1) * 1000) {
    second = Math.floor((nowMs - startMs) / 1000);
    if (nowMs < endMs) tell("second", { second, ...totals });
    for (const stream of streams) stream.giveUpWhenStalled(nowMs);
  }
  await wheel.wait();
}
writeFileSync(
  values.acked,
  JSON.stringify({ first: 0, acked: streams.map((stream) => stream.acked) }),
);
tell("done", {
  ...totals,
  unfinished: left,
  latencyMs: fleet.latencies.summary(),
  cpuMs: Math.round(ownCpuMs() - cpuBeforeMs),
  seconds: Math.round((performance.now() - startMs) / 100) / 10,
});
process.exit(0);
