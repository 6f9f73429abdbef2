/** A query's result in, text out: a table for people, CSV (RFC 4180), or a line of JSON for each row. */
import type { DuckDBResult, Json } from "@duckdb/node-api";
import { limits } from "../../shared/limits.ts";

export type Form = "table" | "csv" | "json";

type Row = readonly Json[];

/** Texts of some rows each. Throws what DuckDB throws while it runs. */
export async function* resultText(result: DuckDBResult, form: Form): AsyncGenerator<string> {
  const names = result.deduplicatedColumnNames();
  const types = result.columnTypes().map((type) => String(type));
  const rows = rowsOf(result, types);
  if (form === "table") yield* table(names, types, rows);
  else if (form === "csv") {
    yield csvLine(names);
    for await (const some of rows) yield some.map(csvLine).join("");
  } else for await (const some of rows) yield some.map((row) => jsonLine(names, row)).join("");
}

async function* rowsOf(result: DuckDBResult, types: readonly string[]): AsyncGenerator<Row[]> {
  for await (const rows of result.yieldRowsJson()) {
    yield rows.map((row) => row.map((cell, i) => plain(cell, types[i]!)));
  }
}

/** DuckDB gives whole numbers as texts and maps as lists of pairs; JSON has better. */
function plain(cell: Json, type: string): Json {
  if (typeof cell === "string" && /^U?(BIG|HUGE)INT$/.test(type)) {
    return Number.isSafeInteger(Number(cell)) ? Number(cell) : cell;
  }
  if (Array.isArray(cell) && type.startsWith("MAP(")) {
    const pairs = cell as Array<{ key: Json; value: Json }>;
    return Object.fromEntries(pairs.map(({ key, value }) => [String(key), value]));
  }
  return cell;
}

function jsonLine(names: readonly string[], row: Row): string {
  return `${JSON.stringify(Object.fromEntries(names.map((name, i) => [name, row[i]!])))}\n`;
}

function csvLine(row: Row): string {
  const cells = row.map((cell) => {
    const text = cellText(cell);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${cells.join(",")}\r\n`;
}

/** As wide as the first rows need; what is wider later on sticks out. */
async function* table(
  names: readonly string[],
  types: readonly string[],
  all: AsyncIterable<Row[]>,
): AsyncGenerator<string> {
  let widths: number[] | undefined;
  for await (const rows of all) {
    const cells = rows.map((row) => row.map((cell) => printable(cellText(cell))));
    if (!widths) {
      widths = widthsOf([names, ...cells.slice(0, limits.sqlTableRows)]);
      yield head(names, widths);
    }
    const isRight = types.map((type) => /INT(EGER)?$|^DOUBLE$|^DECIMAL/.test(type));
    yield cells.map((row) => tableLine(row, widths!, isRight)).join("");
  }
  if (!widths) yield head(names, widthsOf([names]));
}

function widthsOf(rows: ReadonlyArray<readonly string[]>): number[] {
  return rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
}

function head(names: readonly string[], widths: readonly number[]): string {
  return tableLine(names, widths, []) +
    tableLine(widths.map((width) => "-".repeat(width)), widths, []);
}

function tableLine(
  row: readonly string[],
  widths: readonly number[],
  isRight: readonly boolean[],
): string {
  const cells = row.map((cell, i) =>
    isRight[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)
  );
  return `${cells.join("  ").trimEnd()}\n`;
}

function cellText(cell: Json): string {
  if (cell === null) return "";
  return typeof cell === "object" ? JSON.stringify(cell) : String(cell);
}

/** What a device logged mustn't steer the operator's terminal. */
function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (c) => {
    return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
