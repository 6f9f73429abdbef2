/**
 * The demo: receiver, grinder and agent as processes on this machine, its real kernel log and a small
 * simulated fleet, until Ctrl-C; then the verifier's verdict. Exit status 1 if anything was lost or
 * counted twice.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { Fleet } from "../fleet/fleet.ts";
import {
  bunPath,
  type Program,
  root,
  startAgent,
  startGrinder,
  startReceiver,
} from "../programs.ts";
import { formatVerdict, verify } from "../verify/verify.ts";
import { EventFollower, quantile } from "./latency.ts";

const { values } = programOptions(
  `
Usage: bun run demo [OPTIONS]     the whole way, on this machine's kernel log and a simulated fleet`,
  {
    seconds: { type: "number", unit: "s", help: "how long (default: until Ctrl-C)" },
    devices: { type: "number", unit: "devices", default: 20, help: "simulated ones" },
    rate: { type: "number", unit: "bytes/s", default: 2000, help: "log text of each of them" },
    data: { type: "text", unit: "folder", help: "an empty one (default: a new temporary one)" },
  },
  process.argv.slice(2),
);

const data = values.data ?? mkdtempSync(join(tmpdir(), "logmill-demo-"));
const journal = join(data, "fleet.jsonl");
const state = join(data, "agent");

const thumbprint = run("agent/main.ts", "identity", "--state", state).trim();
run("receiver/main.ts", "allow", thumbprint, "--device", "this-machine", "--data", data);
const receiver = await startReceiver(data, "--port", "0");
const grinder = await startGrinder(data);
const agent = startAgent(state, receiver.url);
const fleet = new Fleet({
  receivers: [receiver.url],
  devices: values.devices,
  bytesPerSecond: values.rate,
  rebootSeconds: 60,
  allowList: join(data, "devices"),
  journalPath: journal,
});
// Meanwhile the agent ships what the kernel's log already holds: that isn't what is timed.
await fleet.prepare();
const follower = new EventFollower(join(data, "events"), ({ device, boot, usec }) => {
  const life = bootOf(device, boot);
  return life && life.bootWallUs + usec;
});
console.log(`receiver on ${receiver.url}, data in ${data}\n`);
const following = follower.follow();
await fleet.start();
await untilTold(values.seconds);

const complete = await fleet.stop();
following[Symbol.dispose]();
const kmsg = await agentState(agent);
await receiver.program.stop();
await grinder.stop();
// What was committed while the grinder stopped is ground now, and all windows are closed.
const last = await startGrinder(data, "--once");
await last.exited();
follower.look();

const verdict = await verify({ data, journal, rules: join(root, "rules.ts") });
const { whole, inDevice, behindReceiver } = follower;
const latency = { p50: quantile(whole, 0.5), p99: quantile(whole, 0.99) };
const behind = { p50: quantile(behindReceiver, 0.5), p99: quantile(behindReceiver, 0.99) };
console.log(`\n
${formatVerdict(verdict)}
this machine's kernel log: ${kmsg}
simulated fleet: ${complete ? "everything it wrote is acknowledged" : "not all is acknowledged"}

from a line written to its event in the file, ${whole.length} events of the fleet:
  p50 ${latency.p50} ms, p99 ${latency.p99} ms
  of that until the receiver has it (the agent's flush is 200 ms): p50 ${quantile(inDevice, 0.5)} ms
  behind the receiver: p50 ${behind.p50} ms, p99 ${behind.p99} ms

look at:
  events       ${join(data, "events")}
  aggregates   ${join(data, "aggregates")}
  all the logs zstdcat ${join(data, "segments")}/*/*/*.zst | less
`);
const { records, events, lost, duplicateEvents, duplicateAggregates } = verdict.totals;
const duplicates = duplicateEvents + duplicateAggregates;
console.log(JSON.stringify({ records, events, lost, duplicates, latency_ms: latency }));
process.exit(verdict.ok && complete ? 0 : 1);

function run(program: string, ...args: string[]): string {
  return execFileSync(bunPath, [program, ...args], { cwd: root, encoding: "utf8" });
}

function bootOf(device: string, boot: string) {
  return fleet.journal.find((entry) => entry.device === device && entry.boot === boot);
}

async function agentState(agent: Program): Promise<string> {
  if (agent.running) return await agent.stop() === 0 ? "shipped" : "cut off";
  return agent.output.trim();
}

/** Prints a line of progress now and then, until the time is up or Ctrl-C is typed. */
async function untilTold(seconds = Infinity): Promise<void> {
  const told = Promise.withResolvers<void>();
  process.once("SIGINT", told.resolve);
  process.once("SIGTERM", told.resolve);
  const startMs = performance.now();
  const progress = setInterval(() => {
    const { records, acked } = fleet.stats();
    const lagMs = quantile(follower.whole.slice(-50), 0.5);
    const passed = Math.round((performance.now() - startMs) / 1000);
    const line =
      `${passed} s: ${records} records, ${acked} acknowledged, ${follower.events} events, lag ${lagMs} ms`;
    process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
    if (passed >= seconds) told.resolve();
  }, 1_000);
  await told.promise;
  clearInterval(progress);
}
