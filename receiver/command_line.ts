/** The receiver's command line: the options to serve with, and the commands that don't serve. */
import { hostname } from "node:os";
import process from "node:process";
import { listPlace, openPlaces } from "../shared/allowlist_place.ts";
import { isName } from "../shared/block.ts";
import { formatDuration, parseDurationMs } from "../shared/duration.ts";
import { limits } from "../shared/limits.ts";
import { receiverBudget } from "../shared/limits/receiver_budget.ts";
import { type OptionSpec, programOptions, UsageError } from "../shared/options.ts";
import { parseS3Place, s3Options } from "../shared/storage/open.ts";
import { lifecycleRule } from "../shared/storage/s3_lifecycle.ts";
import { StorageError } from "../shared/storage/storage.ts";
import { deviceCommands, deviceOptions, runDeviceCommand } from "./devices.ts";
import { proxyOptions } from "./proxy_certificate.ts";
import { readTlsOf, TlsError, tlsOptions } from "./tls.ts";

const usage = `
Usage: bun run receiver [OPTIONS]                          take uploads and store them
       bun run receiver allow THUMBPRINT --device NAME     let a device in
       bun run receiver revoke THUMBPRINT|NAME             shut it out again, within a second
       bun run receiver devices                            list those that are let in, or knocked
       bun run receiver fingerprint                        print the certificate's, for agents' --pin
       bun run receiver lifecycle --keep 60d               print the rule that has S3 delete what is old`;

const placeOptions = {
  data: {
    type: "text",
    unit: "place",
    default: "./data",
    help: "where segments are stored: a folder, or s3://BUCKET/PREFIX",
  },
  ...s3Options,
  allow: { type: "text", unit: "file", help: "the allow-list (default: `devices` in --data)" },
} satisfies Record<string, OptionSpec>;

const serveOptions = {
  ...placeOptions,
  keep: {
    type: "text",
    unit: "time",
    help: "delete segments older than this, such as 60d, in a folder (default: keep all)",
  },
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
  memory: {
    type: "number",
    unit: "MiB",
    default: limits.receiverMemoryBytes / 2 ** 20,
    help: "decides how many streams may be open and how much text may wait for the storage",
  },
  "bulk-rate": {
    type: "number",
    unit: "B/s",
    default: limits.bulkBytesPerSec,
    help: "a device with a backlog is slowed to this",
  },
  ...tlsOptions,
  ...proxyOptions,
} satisfies Record<string, OptionSpec>;

/** The options to serve with. Runs a command, prints help or an error, and ends, where asked to. */
export async function commandLine(argv: string[]) {
  const word = argv[0] ?? "";
  return await orExit(async () => {
    if (Object.hasOwn(deviceCommands, word)) process.exit(await device(word, argv.slice(1)));
    if (!Object.hasOwn(commands, word)) return served(argv);
    console.log(commands[word]!(programOptions(usage, serveOptions, argv.slice(1)).values));
    process.exit(0);
  });
}

/** What an operator can mend is said in a sentence, and the program ends: 2 if it was asked wrongly. */
export async function orExit<T>(begin: () => T | Promise<T>): Promise<T> {
  try {
    return await begin();
  } catch (error) {
    const asked = error instanceof UsageError || error instanceof RangeError;
    const { code, message } = error as NodeJS.ErrnoException;
    const expected = asked || error instanceof StorageError || error instanceof TlsError ||
      /^E[A-Z]+$/.test(code ?? "");
    if (!expected) throw error;
    console.error(message);
    process.exit(asked ? 2 : 1);
  }
}

type Options = ReturnType<typeof programOptions<typeof serveOptions>>["values"];

const commands: Record<string, (options: Options) => string> = {
  fingerprint: (options) => `sha256:${readTlsOf(options).fingerprint}`,
  lifecycle({ data, keep }) {
    const s3 = parseS3Place(data);
    if (!s3 || !keep) throw new UsageError("Usage: lifecycle --data s3://BUCKET/PREFIX --keep 60d");
    return lifecycleRule(s3.prefix, Math.ceil(parseDurationMs("--keep", keep) / 86_400_000));
  },
};

async function device(word: string, argv: string[]): Promise<number> {
  const { values, positionals } = programOptions(
    usage,
    { ...placeOptions, ...deviceOptions },
    argv,
  );
  const places = await openPlaces(values.data, values);
  const list = listPlace(places, values.allow);
  return await runDeviceCommand(word, positionals, { ...values, list, places, nowMs: Date.now() });
}

function served(argv: string[]) {
  const { values, positionals } = programOptions(usage, serveOptions, argv);
  if (positionals.length > 0) {
    throw new UsageError(`Cannot run \`${positionals[0]}\`: there is no such command. Try --help.`);
  }
  if (!isName(values.name)) {
    throw new UsageError(
      `Cannot use --name ${values.name} because it must be letters, digits and ._:@+-`,
    );
  }
  if (values.keep !== undefined && parseS3Place(values.data)) {
    throw new UsageError("Cannot use --keep because S3 deletes by its own rule: see `lifecycle`");
  }
  const keepMs = values.keep === undefined ? undefined : parseDurationMs("--keep", values.keep);
  if (keepMs !== undefined && keepMs < limits.keepMsMin) {
    throw new UsageError(
      `Cannot use --keep because it must be at least ${formatDuration(limits.keepMsMin)}: ` +
        `it is ${values.keep}`,
    );
  }
  const memoryBytes = values.memory * 2 ** 20;
  // Devices aren't known yet: what is too little without any is said before anything is opened.
  receiverBudget(memoryBytes);
  return { ...values, keepMs, memoryBytes };
}
