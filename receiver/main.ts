/** The receiver as a program: app.ts on Bun's server, with a storage and the allow-list. */
import process from "node:process";
import { openPlaces } from "../shared/allowlist_place.ts";
import { CommitQueue } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import { exactly } from "../shared/zstd.ts";
import { openStorage } from "../shared/storage/open.ts";
import { Retention } from "../shared/storage/retention.ts";
import { Admission } from "./admission.ts";
import { Receiver } from "./app.ts";
import { commandLine, orExit } from "./command_line.ts";
import { Door } from "./door.ts";
import { FlushAdvice } from "./flush_advice.ts";
import { Listener } from "./listener.ts";
import { ReceiverMetrics } from "./receiver_metrics.ts";
import { say } from "./say.ts";
import { readTlsOf, type Tls, tlsOf } from "./tls.ts";
import { watchTls } from "./tls_reload.ts";

const options = await commandLine(process.argv.slice(2));
const { data, name, budget, keepMs } = options;
const metrics = new ReceiverMetrics();
const [tls, door, epoch] = await orExit(async () => [
  tlsOf(options),
  await Door.open({ ...options, places: await openPlaces(data, options), say }),
  await (await openStorage(data, options)).createEpoch(name),
]);
const commits = new CommitQueue(epoch, {
  committed: (commit) => metrics.committed(commit),
  changed: (problem) =>
    problem ? say("storage_down", problem.message) : say("storage_up", "it takes writes again"),
});
const nowMs = () => performance.now();
const random = Math.random;
const admission = new Admission({
  budget,
  bulkBytesPerSec: options["bulk-rate"],
  commits,
  nowMs,
  random,
});
const advice = new FlushAdvice(() => ({ cpuMs: cpuMs(), nowMs: nowMs() }));
const flushMs = () => advice.flushMs;
metrics.watch(admission, flushMs, {
  devices: () => door.size,
  storageReady: () => !commits.problem,
});
const nowUs = () => Date.now() * 1000;
const { identify } = door;
// A third faster than node:zlib's on small frames; a frame that holds more than it states fails.
const decode = exactly(Bun.zstdDecompressSync);
const receiver = new Receiver({
  commits,
  identify,
  admission,
  metrics,
  decode,
  flushMs,
  nowUs,
  random,
});
const serve = (tls: Tls | undefined, port = options.port) =>
  Bun.serve({
    hostname: options.host,
    port,
    ...(tls ? { tls: { cert: tls.cert, key: tls.key } } : {}),
    // Until the first chunk; then each chunk sets it anew (Bun doesn't count body bytes as activity).
    idleTimeout: 10,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request, bun) => receiver.fetch(request, bun),
  });
const listener = await orExit(() => new Listener(serve, tls));
if (tls) {
  watchTls(tls, {
    read: () => readTlsOf(options),
    install: (renewed) => listener.replace(renewed),
    say: (text) => say("tls", text),
  });
}
door.watch(admission);
if (keepMs !== undefined) {
  const retention = new Retention(data, {
    keepMs,
    now: Date.now,
    report: (text) => say("retention", text),
  });
  setInterval(() => void retention.pass(), limits.retentionPassMs);
}
setInterval(() => {
  advice.look(admission.short);
  admission.look();
}, 1_000);
setInterval(() => commits.roll(), 30_000);

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function stop(): Promise<void> {
  setTimeout(() => process.exit(1), limits.stopMs);
  await admission.stop();
  await commits.close();
  await door.close();
  // The last answers are on their way; idle connections would keep the server for ever.
  await Promise.race([listener.stop(), new Promise((resolve) => setTimeout(resolve, 300))]);
  process.exit(0);
}
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
say("listening", `listening on ${listener.url.href} as ${name}/${epoch.epoch}`, {
  devices: door.size,
  ...budget,
});
