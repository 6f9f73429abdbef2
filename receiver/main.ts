/** The receiver as a program: app.ts on Bun's server, with a storage and the allow-list. */
import process from "node:process";
import { openPlaces } from "../shared/allowlist_place.ts";
import { CommitQueue } from "../shared/commit_queue.ts";
import { receiverBudget } from "../shared/limits/receiver_budget.ts";
import { exactly } from "../shared/zstd.ts";
import { Admission } from "./admission.ts";
import { Receiver } from "./app.ts";
import { commandLine, orExit } from "./command_line.ts";
import { Door } from "./door.ts";
import { startDuties } from "./duties.ts";
import { FlushAdvice } from "./flush_advice.ts";
import { lettingGo } from "./let_go.ts";
import { Listener } from "./listener.ts";
import { ReceiverMetrics } from "./receiver_metrics.ts";
import { say } from "./say.ts";
import { stopAtSignals } from "./stop.ts";
import { openEpochAside } from "./storage_aside.ts";
import { type Tls, tlsOf } from "./tls.ts";
import { watchTls } from "./tls_reload.ts";

const options = await commandLine(process.argv.slice(2));
const { data, name, keepMs, memoryBytes } = options;
const tls = await orExit(() => tlsOf(options));
const door = await orExit(async () =>
  await Door.open({ ...options, places: await openPlaces(data, options), say })
);
const budget = await orExit(() => receiverBudget(memoryBytes, door.size));
const epoch = await orExit(() => openEpochAside({ data, options, name }));

const metrics = new ReceiverMetrics();
const commits = new CommitQueue(epoch, {
  texts: epoch.texts,
  committed: (commit) => metrics.committed(commit),
  changed: (problem) =>
    problem ? say("storage_down", problem.message) : say("storage_up", "it takes writes again"),
});
const clock = { nowMs: () => performance.now(), random: Math.random };
const bulkBytesPerSec = options["bulk-rate"];
const memoryShare = () => process.memoryUsage.rss() / memoryBytes;
const admission = new Admission({ budget, bulkBytesPerSec, commits, memoryShare, ...clock });
const advice = new FlushAdvice();
metrics.watch({ admission, advice, commits, door });
const receiver = new Receiver({
  commits,
  identify: door.identify,
  admission,
  metrics,
  // A third faster than node:zlib's on small frames.
  decode: lettingGo(exactly(Bun.zstdDecompressSync)),
  flushMs: () => advice.flushMs,
  nowUs: () => Date.now() * 1000,
  random: Math.random,
});
const serve = (tls: Tls | undefined, port = options.port) =>
  Bun.serve({
    development: false,
    hostname: options.host,
    port,
    ...(tls ? { tls: { cert: tls.cert, key: tls.key } } : {}),
    // Until the first chunk; then each chunk sets it anew (Bun doesn't count body bytes as activity).
    idleTimeout: 10,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request, bun) => receiver.fetch(request, bun),
  });
const listener = await orExit(() => new Listener(serve, tls));
if (tls) watchTls(tls, options, listener, say);
startDuties({ admission, advice, commits, door, data, keepMs, say });

stopAtSignals({ admission, commits, door, listener });
const where = `listening on ${listener.url.href} as ${name}/${epoch.epoch}`;
say("listening", where, { devices: door.size, ...budget });
