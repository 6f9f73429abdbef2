/** The agent as a program: which sources are shipped, to whom, and under which identity. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { isName } from "../shared/block.ts";
import { createIdentity, IdentityError, loadIdentity } from "../shared/identity.ts";
import { limits } from "../shared/limits.ts";
import { programOptions } from "../shared/options.ts";
import { signToken } from "../shared/token.ts";
import { Checkpoint } from "./checkpoint.ts";
import { bootId, KernelClock } from "./kernel_clock.ts";
import { KmsgSource } from "./kmsg.ts";
import { LinesSource } from "./lines.ts";
import { runPipeline } from "./pipeline.ts";
import { openRing, RingError } from "./ring.ts";
import type { Source } from "./source.ts";

const usage = `
Usage: logmill-agent [run] [OPTIONS]         ship this machine's logs until it is stopped
       logmill-agent identity [OPTIONS]      make this device's key; print its thumbprint
       logmill-agent token [OPTIONS]         print a token for curl, good for five minutes`;

const { values, positionals } = programOptions(usage, {
  receiver: {
    type: "list",
    unit: "url",
    help: "where to ship to (default: http://127.0.0.1:4750)",
  },
  source: { type: "list", unit: "source", help: "kmsg or stdin (default: kmsg)" },
  state: {
    type: "text",
    unit: "folder",
    default: process.env["STATE_DIRECTORY"] ?? "/var/lib/logmill",
    help: "the key and what was acknowledged",
  },
  name: { type: "text", unit: "name", default: "stdin", help: "the program whose lines stdin has" },
  audience: {
    type: "text",
    unit: "name",
    default: "logmill",
    help: "the service that tokens name",
  },
}, process.argv.slice(2));
const say = (text: string) => console.error(`logmill-agent: ${text}`);

try {
  const command = positionals[0] ?? "run";
  if (command === "identity") console.log(await thumbprint());
  else if (command === "token") console.log(await token());
  else if (command === "run") await run();
  else throw new Error(`Cannot run \`${command}\`: there is no such command. Try --help.`);
  process.exit(0);
} catch (error) {
  if (error instanceof IdentityError || error instanceof RingError) say(error.message);
  else say(String(error));
  process.exit(1);
}

/** An identity that is there is kept: the command may be run again to see the thumbprint. */
async function thumbprint(): Promise<string> {
  const exists = ["device.key", "device.crt"].every((file) => existsSync(join(values.state, file)));
  const identity = exists ? await loadIdentity(values.state) : await createIdentity(values.state);
  return identity.thumbprint;
}

async function token(): Promise<string> {
  return await signToken(await loadIdentity(values.state), values.audience, Date.now());
}

async function run(): Promise<void> {
  const identity = await loadIdentity(values.state);
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  const kernelClock = new KernelClock(() => performance.now());
  const pipelines = await Promise.all(
    (values.source.length > 0 ? values.source : ["kmsg"]).map(async (name) => {
      if (name === "stdin") return { source: openStdin(kernelClock) };
      if (name !== "kmsg") throw new Error(`Cannot ship ${name}: a source must be kmsg or stdin`);
      const checkpoint = new Checkpoint(join(values.state, `checkpoint-${name}.json`), say);
      const position = await checkpoint.load();
      const options = { ring: openRing(), boot: bootId(), clock: kernelClock, position, sleep };
      return { checkpoint, source: new KmsgSource(options) };
    }),
  );
  const receivers = values.receiver.length > 0 ? values.receiver : ["http://127.0.0.1:4750"];
  const shipped = pipelines.map(({ source }) => source.source).join(", ");
  say(`shipping ${shipped} to ${receivers.join(", ")} as ${identity.thumbprint}`);
  const stop = () => {
    for (const { source } of pipelines) source.close();
    setTimeout(() => process.exit(0), limits.stopMs);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  await Promise.all(pipelines.map((pipeline) =>
    runPipeline({
      ...pipeline,
      receivers,
      token: (nowMs) => signToken(identity, values.audience, nowMs),
      kernelUs: () => kernelClock.nowUs(),
      wallSynced,
      report: say,
      clock: { nowMs: Date.now, monotonicMs: () => performance.now(), sleep },
      random: Math.random,
      fetch,
    })
  ));
}

/** Its stream ends with this process: there is nothing to keep for the next one. */
function openStdin(clock: KernelClock): Source {
  const source = `app:${values.name}`;
  if (!isName(source)) {
    throw new Error(
      `Cannot use --name ${values.name} because it must be letters, digits and ._:@+-`,
    );
  }
  const nowUs = () => clock.nowUs();
  return new LinesSource({ source, boot: bootId(), input: Bun.stdin.stream(), nowUs });
}

/** What systemd-timesyncd and chrony leave behind once the clock has been set. */
function wallSynced(): boolean {
  return existsSync("/run/systemd/timesync/synchronized") || existsSync("/run/chrony/synchronized");
}
