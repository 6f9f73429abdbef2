/** SQL as a program: one query over what is stored and what was made of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { limits } from "../../shared/limits.ts";
import { programOptions, UsageError } from "../../shared/options.ts";
import { storageOptions } from "../../shared/storage/open.ts";
import { StorageError } from "../../shared/storage/storage.ts";
import { DuckError } from "../archive/duck.ts";
import { ArchiveError } from "../archive/place.ts";
import { parseRange } from "../history/time_range.ts";
import { LedgerError } from "../ledger/state_copy.ts";
import { Output } from "../narrative/output.ts";
import { prepare } from "./prepare.ts";
import { type Form, resultText } from "./result_text.ts";
import { QueryError, told } from "./session.ts";

const MB = 1e6;
const { values, positionals } = programOptions(
  `
Usage: deno task sql "select ..." [OPTIONS]     DuckDB's SQL over these views:
         records     each record once, of the archive and of hot segments
         meta        what is about records: gaps (flag g), clock records (s), odd lines (!)
         events      what rules made of them
         aggregates  counts by window, rule and labels, as last corrected
         devices     the allow-list, with labels
         ledger      of each stream what is stored, and what isn't and why`,
  {
    csv: { type: "flag", unit: "", help: "CSV; the default where the output is no terminal" },
    json: { type: "flag", unit: "", help: "a line of JSON for each row" },
    since: {
      type: "text",
      unit: "time",
      help: "records received from so long ago (2h), or an ISO time: older ones aren't read",
    },
    until: { type: "text", unit: "time", help: "records received to then (default: now)" },
    ...storageOptions,
    out: {
      type: "text",
      unit: "folder",
      help: "the grinder's outputs and state (default: --data, or ./data with S3)",
    },
    memory: {
      type: "number",
      unit: "MB",
      default: Math.round(limits.archiveMemoryBytes / MB),
      help: "for DuckDB; what doesn't fit goes to the disk",
    },
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`sql: ${text}`);

async function main(): Promise<number> {
  const query = queryOf(positionals);
  const form = formOf();
  const range = parseRange(values, Date.now());
  // The grinder goes first.
  setPriority(10);
  using ends = new DisposableStack();
  const folder = scratchFolder(ends);
  const memoryBytes = values.memory * MB;
  using session = await prepare(query, folder, {
    ...values,
    range,
    memoryBytes,
    warn: say,
    progress,
  });
  const out = new Output(process.stdout);
  const result = await session.query(query);
  try {
    for await (const text of resultText(result, form)) {
      await out.write(text);
      if (out.closed) return 0;
    }
  } catch (error) {
    throw new QueryError(`Cannot run the query because ${told(error)}`, { cause: error });
  } finally {
    await out.flush();
  }
  return 0;
}

/** Gone with the program, whichever way it ends but a kill -9. */
function scratchFolder(ends: DisposableStack): string {
  const folder = mkdtempSync(join(tmpdir(), "logmill-sql-"));
  ends.defer(() => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      ends.dispose();
      process.exit(1);
    });
  }
  return folder;
}

function queryOf(words: readonly string[]): string {
  const [query] = words;
  if (query !== undefined && words.length === 1) return query;
  throw new UsageError(
    `Cannot run a query because it must be one text, in quotes: it is ${words.length} of them`,
  );
}

function formOf(): Form {
  const { csv, json, memory } = values;
  if (csv && json) throw new UsageError("Cannot use --csv with --json because it must be one form");
  if (memory < 64) {
    throw new UsageError(`Cannot use --memory because it must be at least 64 MB: it is ${memory}`);
  }
  if (csv || json) return csv ? "csv" : "json";
  return process.stdout.isTTY ? "table" : "csv";
}

let toldBytes = 0;

/** Segments that aren't archived are read as a whole, which takes its time. */
function progress(textBytes: number): void {
  if (textBytes < toldBytes + limits.sqlToldBytes) return;
  toldBytes = textBytes;
  say(
    `${Math.round(textBytes / MB)} MB of text read that aren't archived yet; --since makes it less`,
  );
}

const status = await main().catch((error: unknown) => {
  const isUsage = error instanceof UsageError;
  const expected = [ArchiveError, DuckError, LedgerError, QueryError, StorageError];
  const isTold = isUsage || expected.some((kind) => error instanceof kind);
  say(isTold ? (error as Error).message : String((error as Error).stack ?? error));
  return isUsage ? 2 : 1;
});
process.exit(status);
