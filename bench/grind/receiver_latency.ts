/**
 * Simulated devices, the real receiver and the real grinder, each a process of its own: how long it takes
 * from a block's receive time until its events can be read from the events file; and a verdict on all
 * that was written.
 */
import { join } from "node:path";
import { EventFollower } from "../../tests/demo/latency.ts";
import { bunPath, Program, startGrinder, startReceiver } from "../../tests/programs.ts";
import { formatVerdict, verify } from "../../tests/verify/verify.ts";

export interface LatencyOptions {
  /** Is made. */
  data: string;
  rules: string;
  seconds: number;
  rateMB: number;
  devices: number;
}

export interface Latency {
  /** Of each event that was received after the programs had warmed up. */
  latencyMs: number[];
  /** All of them, before that as well. */
  events: number;
  records: number;
  ok: boolean;
  verdict: string;
}

/** Programs compile what they run most, and devices tell of their boot. */
const warmUpMs = 5_000;
const prepareMs = 3_000;
/** Requests at a time beyond Bun's usual limit: as in package.json's script. */
const fleetEnv = { BUN_CONFIG_MAX_HTTP_REQUESTS: "20000" };

export async function receiverLatency(options: LatencyOptions): Promise<Latency> {
  const { data, rules, seconds, rateMB, devices } = options;
  const journal = join(data, "fleet.jsonl");
  const receiver = await startReceiver(data, "--port", "0");
  const grinder = await startGrinder(data, "--rules", rules);
  const fleet = new Program("fleet", bunPath, [
    ...["tests/fleet/main.ts", "--receiver", receiver.url, "--data", data, "--journal", journal],
    ...["--devices", String(devices), "--rate", String(rateMB * 1e6 / devices)],
    ...["--seconds", String(seconds), "--seed", "1"],
  ], fleetEnv);
  await fleet.says(/B\/s each/);
  const warmUs = (Date.now() + warmUpMs) * 1000;
  const follower = new EventFollower(
    join(data, "events"),
    ({ recv_us }) => recv_us >= warmUs ? recv_us : undefined,
  );
  const following = follower.follow();
  const complete = await fleet.exited() === 0;
  await Bun.sleep(prepareMs);
  following[Symbol.dispose]();
  await receiver.program.stop();
  await grinder.stop();
  await (await startGrinder(data, "--rules", rules, "--once")).exited();
  const verdict = await verify({ data, journal, rules });
  return {
    latencyMs: follower.behindReceiver,
    events: verdict.totals.events,
    records: verdict.totals.records,
    ok: verdict.ok && complete,
    verdict: formatVerdict(verdict),
  };
}
