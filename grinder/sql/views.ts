/**
 * What a query can name, as SQL that makes it: views over files, which are read when they are asked for.
 * Times are TIMESTAMP in UTC.
 *
 * | view | a row is |
 * |------|----------|
 * | records | a record, once: of the archive and of hot segments; columns of ../archive/columns.ts, `usec`, and `level` (0-7) of `prio` |
 * | meta | what is about records: gaps (flag `g`) and clock records (`s`), each once; lines that are no records (`!`) |
 * | events | an event: a line of events/ (../event.ts); `labels['port']` |
 * | aggregates | a window of a rule with its labels, as last corrected: the line of aggregates/ with the highest rev |
 * | devices | a device of the allow-list: name, thumbprint, labels |
 * | ledger | a stream's account (../ledger/account.ts) |
 */
import type { TimeRange } from "../history/time_range.ts";
import { causes } from "../ledger/account.ts";
import { quoted } from "../archive/duck.ts";

export const viewNames = ["records", "meta", "events", "aggregates", "devices", "ledger"] as const;
export type ViewName = typeof viewNames[number];

type Columns = Record<string, string>;

const labels = "MAP(VARCHAR, VARCHAR)";
const names: Columns = { device: "VARCHAR", boot: "VARCHAR", source: "VARCHAR", stream: "VARCHAR" };

const rowColumns: Columns = {
  ...names,
  ...{ seq: "BIGINT", time: "TIMESTAMP", started: "TIMESTAMP", recv: "TIMESTAMP", prio: "INTEGER" },
  ...{ flag: "VARCHAR", text: "VARCHAR", fields: "VARCHAR", more: "VARCHAR" },
};

const eventColumns: Columns = {
  ...{ rule: "VARCHAR", time: "TIMESTAMP", time_error_us: "BIGINT" },
  ...names,
  ...{ seq: "BIGINT", usec: "BIGINT", prio: "INTEGER", labels, value: "DOUBLE", text: "VARCHAR" },
  ...{ recv_us: "BIGINT", segment: "VARCHAR", offset: "BIGINT", line: "BIGINT" },
};

const aggregateColumns: Columns = {
  ...{ window: "TIMESTAMP", window_s: "DOUBLE", rule: "VARCHAR", labels, rev: "BIGINT" },
  ...{ count: "BIGINT", devices: "BIGINT", devices_capped: "BOOLEAN" },
  ...{ first: "TIMESTAMP", last: "TIMESTAMP" },
  ...{ sum: "DOUBLE", min: "DOUBLE", max: "DOUBLE", p50: "DOUBLE", p90: "DOUBLE", p99: "DOUBLE" },
};

const deviceColumns: Columns = { name: "VARCHAR", thumbprint: "VARCHAR", labels };

const ledgerColumns: Columns = {
  ...names,
  ...Object.fromEntries(["stored", ...causes, "other", "unexplained"].map((n) => [n, "BIGINT"])),
  ...{ seqs: "VARCHAR", unexplained_seqs: "VARCHAR", open_gap: "BOOLEAN" },
};

/** Over Parquet files of the archive's form. */
export function recordViews(files: readonly string[], range: TimeRange): string[] {
  const rows = files.length === 0
    ? emptyTable(rowColumns)
    : `select ${list(rowColumns)} from read_parquet([${files.map(quoted).join(", ")}])`;
  const [since, until] = [range.sinceUs, range.untilUs].map((us) => `make_timestamp(${us})`);
  const inRange = `recv >= ${since} and recv < ${until}`;
  const shown =
    `${list(names)}, seq, time, recv, epoch_us(time) - epoch_us(started) as usec, prio, ` +
    "prio % 8 as level, flag, text, fields, more";
  const view = (name: ViewName, which: string) =>
    `create view ${name} as select * from
      (select ${shown} from (${rows}) where flag ${which} and ${inRange})`;
  return [
    view("records", "not in ('g', 's', '!')"),
    `${view("meta", "in ('g', 's', '!')")} ${onceEach}`,
  ];
}

/** As ../reading/once.ts has it: these have no seq of their own, so that nothing else knows them again. */
const onceEach = `qualify flag = '!' or row_number() over (
  partition by device, source, stream, flag, seq, usec, fields order by recv) = 1`;

/** The line that a grinder is about to write, and any that isn't JSON, is left out. */
export function eventView(files: readonly string[]): string {
  return `create view events as ${jsonLines(files, eventColumns)} where rule is not null`;
}

/** Labels may stand in another order in the next revision. */
export function aggregateView(files: readonly string[]): string {
  return `create view aggregates as ${jsonLines(files, aggregateColumns)} where rule is not null
    qualify row_number() over (
      partition by "window", window_s, rule, list_sort(map_entries(labels)) order by rev desc) = 1`;
}

/** Of a file with a line of JSON for each; a table: it is read once. */
export function deviceTable(file: string): string {
  return `create table devices as ${jsonLines([file], deviceColumns)}`;
}

export function ledgerTable(file: string): string {
  return `create table ledger as ${jsonLines([file], ledgerColumns)}`;
}

function jsonLines(files: readonly string[], columns: Columns): string {
  if (files.length === 0) return `select * from (${emptyTable(columns)})`;
  const types = Object.entries(columns).map(([name, type]) => `${quoted(name)}: ${quoted(type)}`);
  return `select ${list(columns)} from read_json([${files.map(quoted).join(", ")}], ` +
    `format = 'newline_delimited', ignore_errors = true, columns = {${types.join(", ")}})`;
}

function emptyTable(columns: Columns): string {
  const nulls = Object.entries(columns).map(([name, type]) => `null::${type} as "${name}"`);
  return `select ${nulls.join(", ")} limit 0`;
}

function list(columns: Columns): string {
  return Object.keys(columns).map((name) => `"${name}"`).join(", ");
}
