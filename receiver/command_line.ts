/** The receiver's command line: its options, and the commands that edit its allow-list. */
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { addDevice, AllowListError, parseAllowList, removeDevice } from "../shared/allowlist.ts";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { isName } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { type OptionSpec, programOptions, UsageError } from "../shared/options.ts";

const usage = `
Usage: bun run receiver [OPTIONS]                          take uploads and store them
       bun run receiver allow THUMBPRINT --device NAME     let a device in
       bun run receiver revoke THUMBPRINT|NAME             shut it out again, within a second
       bun run receiver devices                            list those that are let in`;

const data = {
  type: "text",
  unit: "folder",
  default: "./data",
  help: "where segments are stored",
} satisfies OptionSpec;
const allow = {
  type: "text",
  unit: "file",
  help: "the allow-list (default: `devices` in --data)",
} satisfies OptionSpec;
const listOptions = {
  data,
  allow,
  device: { type: "text", unit: "name", help: "allow: the device's name in the logs" },
  label: { type: "list", unit: "k=v", help: "allow: a label of the device, such as city=Berlin" },
} satisfies Record<string, OptionSpec>;

const serveOptions = {
  data,
  allow,
  host: { type: "text", unit: "address", default: "127.0.0.1", help: "where to listen" },
  port: {
    type: "number",
    unit: "port",
    default: 4750,
    help: "where to listen; 0 takes a free one",
  },
  name: { type: "text", unit: "name", default: hostname(), help: "this receiver, in the storage" },
  audience: {
    type: "text",
    unit: "name",
    default: "logmill",
    help: "the service that tokens name",
  },
  live: {
    type: "number",
    unit: "streams",
    default: limits.liveStreamsMax,
    help: "live streams open at a time",
  },
  bulk: {
    type: "number",
    unit: "streams",
    default: limits.bulkStreamsMax,
    help: "bulk streams open at a time",
  },
} satisfies Record<string, OptionSpec>;

/** The options to serve with. Runs a command, prints help or an error, and ends, where asked to. */
export function commandLine(argv: string[]) {
  const word = argv[0] ?? "";
  if (Object.hasOwn(commands, word)) {
    const { values, positionals } = programOptions(usage, listOptions, argv.slice(1));
    process.exit(
      runCommand(
        commands[word]!,
        values.allow ?? join(values.data, "devices"),
        positionals,
        values,
      ),
    );
  }
  const { values, positionals } = programOptions(usage, serveOptions, argv);
  if (positionals.length > 0) {
    console.error(`Cannot run \`${positionals[0]}\`: there is no such command. Try --help.`);
    process.exit(2);
  }
  if (!isName(values.name)) {
    console.error(`Cannot use --name ${values.name} because it must be letters, digits and ._:@+-`);
    process.exit(2);
  }
  return { ...values, allow: values.allow ?? join(values.data, "devices") };
}

type Given = { device: string | undefined; label: string[] };
type Command = (path: string, words: string[], given: Given) => string;

function runCommand(command: Command, path: string, words: string[], given: Given): number {
  try {
    process.stdout.write(`${command(path, words, given)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof AllowListError)) throw error;
    console.error(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
}

const commands: Record<string, Command> = {
  allow(path, [thumbprint], { device, label }) {
    if (!thumbprint || !device) throw new UsageError("Usage: allow THUMBPRINT --device NAME");
    mkdirSync(dirname(path), { recursive: true });
    addDevice(path, { thumbprint, name: device, labels: readLabels(label) });
    return `${device} is let in`;
  },
  revoke(path, [who]) {
    if (!who) throw new UsageError("Usage: revoke THUMBPRINT|NAME");
    if (!removeDevice(path, who)) throw new UsageError(`Cannot revoke ${who}: it isn't in ${path}`);
    return `${who} is shut out`;
  },
  devices(path) {
    const { devices, problems } = parseAllowList(
      existsSync(path) ? readFileSync(path, "utf8") : "",
    );
    for (const problem of problems) console.error(`${path}: ${problem}`);
    return [...devices.values()].map(({ thumbprint, name, labels }) =>
      [thumbprint, name, ...Object.entries(labels).map(([k, v]) => `${k}=${v}`)].join(" ")
    ).join("\n") || `no devices in ${path}`;
  },
};

function readLabels(pairs: string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`Cannot read --label ${pair} because it must be KEY=VALUE`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
}
