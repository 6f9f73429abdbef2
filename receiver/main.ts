/** The receiver as a program: app.ts on Bun's server, with a storage and the allow-list. */
import process from "node:process";
import { AllowList } from "../shared/allowlist.ts";
import { CommitQueue } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import { Semaphore } from "../shared/semaphore.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { TokenVerifier } from "../shared/token.ts";
import { Receiver } from "./app.ts";
import { commandLine } from "./command_line.ts";

const options = commandLine(process.argv.slice(2));
const say = (text: string) => console.error(`receiver: ${text}`);
const allowed = new AllowList(options.allow);
const epoch = await new FolderStorage(options.data).createEpoch(options.name);
const commits = new CommitQueue(epoch);
const receiver = new Receiver({
  commits,
  tokens: new TokenVerifier({
    audience: options.audience,
    allowed: (thumbprint) => allowed.get(thumbprint),
    now: Date.now,
    cacheMax: limits.tokensCachedMax,
  }),
  slots: { live: new Semaphore(options.live, "live"), bulk: new Semaphore(options.bulk, "bulk") },
  inFlight: new Semaphore(limits.bytesInFlightMax, "bytes in flight"),
  nowUs: () => Date.now() * 1000,
  random: Math.random,
});
const server = Bun.serve({
  hostname: options.host,
  port: options.port,
  // Until the first chunk; then each chunk sets it anew (Bun doesn't count body bytes as activity).
  idleTimeout: 10,
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  fetch: (request, bun) => receiver.fetch(request, bun),
});

let problem: string | undefined;
setInterval(() => {
  const changed = allowed.reload();
  if (allowed.problem !== problem) say(`allow-list: ${allowed.problem ?? "right again"}`);
  problem = allowed.problem;
  if (changed) receiver.cutRevoked((thumbprint) => allowed.get(thumbprint) !== undefined);
}, 500);
setInterval(() => commits.roll(), 30_000);

async function stop(): Promise<void> {
  setTimeout(() => process.exit(1), limits.stopMs);
  await receiver.stop();
  await commits.close();
  // The last answers are on their way; idle connections would keep the server for ever.
  await Promise.race([server.stop(), new Promise((resolve) => setTimeout(resolve, 300))]);
  process.exit(0);
}
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
say(`listening on ${server.url.href} as ${epoch.receiver}/${epoch.epoch}, ${allowed.size} devices`);
