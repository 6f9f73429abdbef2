/** A place and a query in, a session out in which the views are that the query names. */
import { closeSync, openSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { AllowList } from "../../shared/allowlist.ts";
import { listPlace, openPlaces } from "../../shared/allowlist_place.ts";
import { openStorage, parseS3Place } from "../../shared/storage/open.ts";
import { writeAll } from "../archive/bucket.ts";
import { ManifestStore } from "../archive/manifest_store.ts";
import { openPlace } from "../archive/open_place.ts";
import type { TimeRange } from "../history/time_range.ts";
import type { StreamAccount } from "../ledger/account.ts";
import { Ledger } from "../ledger/ledger.ts";
import { outOf, type StoredPlace } from "../reading/open_stored.ts";
import { archiveFiles } from "./archive_files.ts";
import { hotFiles } from "./hot_files.ts";
import { Session } from "./session.ts";
import * as views from "./views.ts";

export interface SqlOptions extends StoredPlace {
  /** Of receive time, for `records` and `meta`. */
  range: TimeRange;
  memoryBytes: number;
  warn: (text: string) => void;
  progress: (textBytes: number) => void;
}

/**
 * `folder` is for what is under way; the session needs it to its end. Throws `StorageError`,
 * `ArchiveError`, `LedgerError`, `DuckError`.
 */
export async function prepare(
  query: string,
  folder: string,
  options: SqlOptions,
): Promise<Session> {
  using ends = new DisposableStack();
  const { memoryBytes } = options;
  const session = ends.use(await Session.open({ scratch: join(folder, "spilled"), memoryBytes }));
  const made = new Made(folder, options);
  for (const name of views.viewNames) if (names(query, name)) await made.add(name);
  await session.make(made.statements);
  await session.shut(made.files);
  ends.move();
  return session;
}

/** Too often rather than too seldom: what isn't named isn't read. */
function names(query: string, view: string): boolean {
  return new RegExp(`\\b${view}\\b`, "i").test(query) || /\bshow\b|information_schema/i.test(query);
}

class Made {
  readonly statements: string[] = [];
  readonly files: string[] = [];
  #hasRecords = false;

  constructor(private readonly folder: string, private readonly options: SqlOptions) {}

  async add(name: views.ViewName): Promise<void> {
    const { statements } = this;
    if (name === "records" || name === "meta") await this.#records();
    else if (name === "events") statements.push(views.eventView(this.#outputs(name)));
    else if (name === "aggregates") statements.push(views.aggregateView(this.#outputs(name)));
    else if (name === "devices") statements.push(views.deviceTable(await this.#devices()));
    else statements.push(views.ledgerTable(this.#ledger()));
  }

  async #records(): Promise<void> {
    if (this.#hasRecords) return;
    this.#hasRecords = true;
    const { options, folder } = this;
    const [storage, place] = await Promise.all([
      openStorage(options.data, options),
      openPlace(options.data, options),
    ]);
    // One manifest for both: what it says is archived isn't read as hot.
    const manifest = await new ManifestStore(place).newest(0);
    const root = parseS3Place(options.data) ? undefined : resolve(options.data);
    const both = { ...options, place, manifest, folder };
    const archived = await archiveFiles({ ...both, root });
    const hot = await hotFiles({ ...both, storage });
    this.files.push(...archived, ...hot);
    this.statements.push(...views.recordViews([...archived, ...hot], options.range));
  }

  /** The day files of `events` or `aggregates` that are there now. */
  #outputs(kind: "events" | "aggregates"): string[] {
    const folder = resolve(outOf(this.options), kind);
    const there = statSync(folder, { throwIfNoEntry: false }) ? readdirSync(folder) : [];
    const files = there.filter((name) => /^\d{8}\.jsonl$/.test(name)).sort()
      .map((name) => join(folder, name));
    this.files.push(...files);
    return files;
  }

  async #devices(): Promise<string> {
    const { data } = this.options;
    const list = await AllowList.open(listPlace(await openPlaces(data, this.options)));
    return this.#lines("devices", list.devices());
  }

  #ledger(): string {
    using ledger = Ledger.open(outOf(this.options));
    return this.#lines("ledger", rowsOf(ledger.accounts()));
  }

  #lines(name: string, rows: Iterable<unknown>): string {
    const path = join(this.folder, `${name}.jsonl`);
    const fd = openSync(path, "w");
    try {
      for (const row of rows) writeAll(fd, encoder.encode(`${JSON.stringify(row)}\n`));
    } finally {
      closeSync(fd);
    }
    return path;
  }
}

const encoder = new TextEncoder();

/** With names as SQL has them. */
function* rowsOf(accounts: Iterable<StreamAccount>) {
  for (const { unexplainedSeqs: unexplained_seqs, openGap: open_gap, ...account } of accounts) {
    yield { ...account, unexplained_seqs, open_gap };
  }
}
