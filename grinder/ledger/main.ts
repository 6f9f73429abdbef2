/** The ledger as a program: whose accounts are told, out of which grinder's state. */
import process from "node:process";
import { AllowList } from "../../shared/allowlist.ts";
import { listPlace, openPlaces } from "../../shared/allowlist_place.ts";
import { programOptions, UsageError } from "../../shared/options.ts";
import { storageOptions } from "../../shared/storage/open.ts";
import { Output } from "../narrative/output.ts";
import { nearNames } from "../reading/near_names.ts";
import { outOf } from "../reading/open_stored.ts";
import type { StreamAccount } from "./account.ts";
import { Ledger } from "./ledger.ts";
import { addAccount, byDevice, deviceLine, noSum } from "./ledger_text.ts";
import { plural, streamLines, totalLine } from "./ledger_text.ts";
import { LedgerError } from "./state_copy.ts";

const { values, positionals } = programOptions(
  `
Usage: deno task ledger [OPTIONS]           what is stored of each device, and what isn't and why
       deno task ledger DEVICE [OPTIONS]    of one device, stream by stream
       Status 1: something is missing that nothing explains. 2: it can't be told. Else 0.`,
  {
    out: {
      type: "text",
      unit: "folder",
      help: "the grinder's outputs, with its state (default: --data, or ./data with S3)",
    },
    ...storageOptions,
    json: {
      type: "flag",
      unit: "",
      help: "a line of JSON for each device or stream, and the total",
    },
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`ledger: ${text}`);

async function main(): Promise<number> {
  if (positionals.length > 1) {
    throw new UsageError(
      `Cannot tell the ledger because at most one device can be named: it is ${
        positionals.join(" ")
      }`,
    );
  }
  const [device] = positionals;
  using ends = new DisposableStack();
  // A copy of the state is a whole database, which mustn't stay behind.
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      ends.dispose();
      process.exit(2);
    });
  }
  const ledger = ends.use(Ledger.open(outOf(values)));
  const out = new Output(process.stdout);
  const total = noSum();
  const names = new Set<string>();
  const counted = function* (accounts: Iterable<StreamAccount>) {
    for (const account of accounts) {
      addAccount(total, account);
      names.add(account.device);
      yield account;
    }
  };
  const accounts = counted(ledger.accounts(device));
  for (const line of device === undefined ? deviceLines(accounts) : accountLines(accounts)) {
    if (!out.closed) await out.write(line);
  }
  if (device !== undefined && names.size === 0) await refuseUnknown(device, ledger);
  const unread = device === undefined ? ledger.unread() : [];
  const name = device ?? `fleet of ${plural(names.size, "device")}`;
  await out.write(
    values.json
      ? `${JSON.stringify({ total: { devices: names.size, ...total, unread } })}\n`
      : totalLine(name, total, unread),
  );
  await out.flush();
  return total.unexplained > 0 ? 1 : 0;
}

function* deviceLines(accounts: Iterable<StreamAccount>): Generator<string> {
  for (const sum of byDevice(accounts)) {
    yield values.json ? `${JSON.stringify(sum)}\n` : deviceLine(sum);
  }
}

function* accountLines(accounts: Iterable<StreamAccount>): Generator<string> {
  for (const account of accounts) {
    yield values.json ? `${JSON.stringify(account)}\n` : streamLines(account);
  }
}

/** One that is allowed and hasn't sent anything is known. */
async function refuseUnknown(device: string, ledger: Ledger): Promise<void> {
  const list = await AllowList.open(listPlace(await openPlaces(values.data, values)));
  const known = new Set([...ledger.devices(), ...[...list.devices()].map(({ name }) => name)]);
  if (known.has(device)) return;
  const near = nearNames(device, known);
  throw new LedgerError(
    `Cannot tell of ${device} because nothing is stored of it, and no list has it` +
      (near.length > 0 ? `. Near to it are ${near.join(", ")}` : ""),
  );
}

const status = await main().catch((error: unknown) => {
  const isTold = error instanceof UsageError || error instanceof LedgerError;
  say(isTold ? error.message : String((error as Error).stack ?? error));
  return 2;
});
process.exit(status);
