/**
 * A table of options in, their values out; the same table is what `--help` prints, so that no option
 * goes without its unit and default.
 */
import process from "node:process";
import { parseArgs } from "node:util";

export interface OptionSpec {
  /** "list" may be given several times. */
  type: "text" | "number" | "flag" | "list";
  /** What the value is: folder, URL, ms, bytes ... */
  unit: string;
  /** The value if it isn't given; as text in `--help`. */
  default?: string | number;
  help: string;
}

type Table = Record<string, OptionSpec>;
type Value<S extends OptionSpec> = S["type"] extends "flag" ? boolean
  : S["type"] extends "list" ? string[]
  : S["type"] extends "number" ? (S extends { default: number } ? number : number | undefined)
  : S extends { default: string } ? string
  : string | undefined;

export type Values<T extends Table> = { [K in keyof T]: Value<T[K]> };

export class UsageError extends Error {
  override name = "UsageError";
}

/** Reads a command line. Throws `UsageError` for what isn't in the table. */
export function parseOptions<const T extends Table>(
  table: T,
  argv: string[],
): { values: Values<T>; positionals: string[] } {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, spec]) => [name, {
      type: spec.type === "flag" ? "boolean" as const : "string" as const,
      multiple: spec.type === "list",
    }]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args: thumbprintsLast(argv), options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(table)) {
    values[name] = toValue(name, spec, parsed.values[name]);
  }
  return { values: values as Values<T>, positionals: parsed.positionals };
}

/** One in 64 keys' thumbprints begins with `-`, and would be taken for options. */
function thumbprintsLast(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  const before = end < 0 ? argv : argv.slice(0, end);
  const isOne = (word: string) => /^-[\w-]{42}$/.test(word);
  const thumbprints = before.filter(isOne);
  if (thumbprints.length === 0) return [...argv];
  const behind = end < 0 ? [] : argv.slice(end + 1);
  return [...before.filter((word) => !isOne(word)), "--", ...thumbprints, ...behind];
}

function toValue(name: string, spec: OptionSpec, given: unknown): unknown {
  if (spec.type === "flag") return given === true;
  if (spec.type === "list") return given ?? [];
  if (given === undefined) return spec.default;
  if (spec.type !== "number") return given;
  const value = Number(given);
  if (String(given).trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new UsageError(
    `Cannot read --${name} because it must be a number of ${spec.unit}: it is ${given}`,
  );
}

/** The text of `--help`: usage, then one line for each option with unit and default. */
export function helpText(usage: string, table: Table): string {
  const rows = Object.entries(table).map(([name, spec]): [string, string] => {
    const left = spec.type === "flag" ? `--${name}` : `--${name} ${spec.unit.toUpperCase()}`;
    const fallback = spec.default === undefined ? "" : ` (default: ${spec.default})`;
    return [left, `${spec.help}${spec.type === "list" ? "; may be repeated" : ""}${fallback}`];
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  return `${usage.trim()}\n\nOptions:\n` +
    rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}

/**
 * The same for a program's `main.ts`: prints help and ends if `--help` is given; says what is wrong
 * and ends with status 2 if the words are off.
 */
export function programOptions<const T extends Table>(
  usage: string,
  table: T,
  argv: string[],
): { values: Values<T>; positionals: string[] } {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(helpText(usage, table));
    process.exit(0);
  }
  try {
    return parseOptions(table, argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\nTry --help.\n`);
    process.exit(2);
  }
}
