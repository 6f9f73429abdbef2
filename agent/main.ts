/** The agent as a program: one word says what to do, and `run` does what it is for. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createIdentity, loadIdentity } from "../shared/identity.ts";
import { signToken } from "../shared/token.ts";
import { type AgentOptions, commandLine } from "./command_line.ts";
import { runDoctor } from "./doctor.ts";
import { runLogos } from "./logos/command.ts";
import { runOmprog } from "./omprog.ts";
import { runAgent } from "./run.ts";
import { reportStatus } from "./status_report.ts";

// Their words are their own: what follows `--` is another program's.
if (process.argv[2] === "logos") process.exit(await runLogos(process.argv.slice(3)));
if (process.argv[2] === "omprog") {
  await runOmprog(process.argv.slice(3));
  process.exit(0);
}

const { values, command } = commandLine(process.argv.slice(2));
const say = (text: string) => console.error(`logmill-agent: ${text}`);
const commands: Record<string, (values: AgentOptions) => Promise<number> | number> = {
  run: (values) => runAgent(values, Bun.stdin.stream(), say),
  identity,
  token,
  status,
  doctor,
};

try {
  const action = Object.hasOwn(commands, command) ? commands[command] : undefined;
  if (!action) throw new Error(`Cannot run \`${command}\`: there is no such command. Try --help.`);
  process.exit(await action(values));
} catch (error) {
  say((error as Error).message ?? String(error));
  process.exit(1);
}

/** An identity that is there is kept: the command may be run again to see the thumbprint. */
async function identity({ state }: AgentOptions): Promise<number> {
  const exists = ["device.key", "device.crt"].every((file) => existsSync(join(state, file)));
  const { thumbprint } = exists ? await loadIdentity(state) : await createIdentity(state);
  console.log(thumbprint);
  return 0;
}

async function token({ state, audience }: AgentOptions): Promise<number> {
  console.log(await signToken(await loadIdentity(state), audience, Date.now()));
  return 0;
}

function status({ run, state, json }: AgentOptions): number {
  // A person's shell has no RUNTIME_DIRECTORY: the newest of these is the one that counts.
  const folders = [run, process.env["RUNTIME_DIRECTORY"], "/run/logmill", state];
  const report = reportStatus(folders.filter((folder) => folder !== undefined), Date.now(), {
    json,
  });
  process.stdout.write(report.text);
  return report.running ? 0 : 1;
}

function doctor({ root, state, run, json }: AgentOptions): number {
  return runDoctor(root, { state, run: run ?? process.env["RUNTIME_DIRECTORY"] }, json);
}
