/**
 * The commands that edit and show the allow-list: words of the command line go in, a line for the
 * operator and an exit status come out. A running receiver takes up what they change.
 */
import process from "node:process";
import { addDevice, removeDevice } from "../shared/allowlist_edit.ts";
import { AllowListError, formatDevice, parseAllowList } from "../shared/allowlist_format.ts";
import type { ListPlace, Places } from "../shared/allowlist_place.ts";
import { type OptionSpec, UsageError } from "../shared/options.ts";
import { type Knock, readKnocks } from "./knocks.ts";

/** What the commands take beside the options that say where the list is. */
export const deviceOptions = {
  device: { type: "text", unit: "name", help: "allow: the device's name in the logs" },
  label: { type: "list", unit: "k=v", help: "allow: a label of the device, such as city=Berlin" },
} satisfies Record<string, OptionSpec>;

export interface Given {
  list: ListPlace;
  /** Where receivers keep who knocked. */
  places: Places;
  /** Unix time in milliseconds. */
  nowMs: number;
  device: string | undefined;
  label: string[];
}

export interface Streams {
  out: (text: string) => void;
  err: (text: string) => void;
}

type Command = (words: string[], given: Given, warn: (text: string) => void) => Promise<string>;

export const deviceCommands: Readonly<Record<string, Command>> = {
  async allow([thumbprint], { list, device, label }) {
    if (!thumbprint || !device) throw new UsageError("Usage: allow THUMBPRINT --device NAME");
    await addDevice(list, { thumbprint, name: device, labels: readLabels(label) });
    return `${device} is let in`;
  },

  async revoke([who], { list }) {
    if (!who) throw new UsageError("Usage: revoke THUMBPRINT|NAME");
    if (await removeDevice(list, who) > 0) return `${who} is shut out`;
    throw new UsageError(`Cannot revoke ${who}: it isn't in ${list.name}`);
  },

  async devices(_words, { list, places, nowMs }, warn) {
    const { devices, problems } = parseAllowList((await list.read())!.text);
    for (const problem of problems) warn(`${list.name}: ${problem}`);
    const lines = [...devices.values()].map(formatDevice);
    if (lines.length === 0) lines.push(`no devices in ${list.name}`);
    try {
      const { knocks, forgotten } = await readKnocks(places, nowMs);
      lines.push(...knocks.filter(({ thumbprint }) => !devices.has(thumbprint)).map(knockLine));
      if (forgotten > 0) lines.push(`knocked: ${forgotten} times more, by keys not kept here`);
    } catch (error) {
      warn(`Cannot read who knocked: ${(error as Error).message}`);
    }
    return lines.join("\n");
  },
};

/** Runs a command. Returns the exit status: 1 if it can't be done, 2 if it was asked wrongly. */
export async function runDeviceCommand(
  word: string,
  words: string[],
  given: Given,
  { out, err }: Streams = standardStreams,
): Promise<number> {
  try {
    out(await deviceCommands[word]!(words, given, err));
    return 0;
  } catch (error) {
    if (error instanceof UsageError || error instanceof AllowListError) err(error.message);
    else err(unusable(given.list.name, error as Error));
    return error instanceof UsageError ? 2 : 1;
  }
}

const standardStreams: Streams = {
  out: (text) => process.stdout.write(`${text}\n`),
  err: (text) => console.error(text),
};

function unusable(name: string, error: Error): string {
  return `Cannot use allow-list because ${name} must be readable and writable: ` +
    `current value is ${error.message}`;
}

function knockLine({ thumbprint, address, count, lastMs }: Knock): string {
  const times = count === 1 ? "once" : `${count} times`;
  return `knocked: ${thumbprint} from ${address}, ${times}, last ` +
    `${new Date(lastMs).toISOString()}; let it in with ` +
    `\`receiver allow ${thumbprint} --device NAME\``;
}

function readLabels(pairs: string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`Cannot read --label ${pair} because it must be KEY=VALUE`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
}
