/**
 * What keeping history costs and how fast it is looked at: the parts one after another, each a process of
 * its own that prints what it measured; last, one JSON object of all of it (README.md says what each is).
 * Exit status 1 if a part failed.
 */
import { existsSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { bunPath, denoPath, root } from "../../tests/programs.ts";

interface Part {
  name: string;
  /** Options of a small size. */
  quick: string[];
}

const parts: Part[] = [
  { name: "archive", quick: ["--text", "60", "--best", "10"] },
  { name: "regrind", quick: ["--text", "60", "--rounds", "3"] },
  { name: "grep", quick: ["--mib", "128", "--rounds", "3"] },
  { name: "narrative", quick: ["--scale", "0.002", "--runs", "3", "--s3-hours", "0.5"] },
  { name: "sql", quick: ["--text", "60"] },
];
/** What the issue asks for, each peer beside it. */
const wanted = [
  ...["archive_ratio", "hot_ratio", "zstd3_ratio", "zstd19_long_ratio", "archive_write_mb_s"],
  ...["regrind_mb_s", "regrind_hot_mb_s", "grep_mb_s", "rg_mb_s", "zstdcat_rg_pair_mb_s"],
  ...["narrative_ms", "narrative_s3_ms", "sql_mb_s"],
];

const names = parts.map(({ name }) => name);
const { values } = programOptions("Usage: bun run bench:history [OPTIONS]", {
  quick: { type: "flag", unit: "", help: "small: some minutes in all" },
  part: { type: "list", unit: "name", help: `only this one: ${names.join(", ")}` },
}, process.argv.slice(2));
const unknown = values.part.find((name) => !names.includes(name));
if (unknown !== undefined) {
  console.error(`Cannot measure ${unknown} because it must be one of ${names.join(", ")}`);
  process.exit(2);
}

await printHead();
const measured: Record<string, number> = {};
let failed = 0;
for (const part of parts) {
  if (values.part.length > 0 && !values.part.includes(part.name)) continue;
  const numbers = await measure(part);
  if (numbers) Object.assign(measured, numbers);
  else failed++;
}
const missing = values.part.length > 0 ? [] : wanted.filter((key) => !(key in measured));
if (missing.length > 0) console.log(`\nnot measured: ${missing.join(", ")}`);
console.log(JSON.stringify(measured));
process.exit(failed === 0 ? 0 : 1);

/** The numbers of its last line; undefined if it failed, which is said. */
async function measure({ name, quick }: Part): Promise<Record<string, number> | undefined> {
  const path = `bench/history/${name}.ts`;
  const words = [path, ...(values.quick ? quick : [])];
  console.log(`\n$ bun ${words.join(" ")}`);
  if (!existsSync(join(root, path))) return void console.log("there is no such program");
  const child = Bun.spawn([bunPath, ...words], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const out = await new Response(child.stdout).text();
  process.stdout.write(out);
  if (await child.exited !== 0) return void console.log(`${name} failed`);
  return numbersOf(out.trimEnd().split("\n").at(-1)!);
}

function numbersOf(line: string): Record<string, number> | undefined {
  try {
    const all = Object.entries(JSON.parse(line) as Record<string, unknown>);
    return Object.fromEntries(
      all.filter((one): one is [string, number] => typeof one[1] === "number"),
    );
  } catch {
    return void console.log("its last line must be JSON: it isn't");
  }
}

async function printHead(): Promise<void> {
  const asked = process.argv.slice(2).join(" ");
  console.log(`$ bun run bench:history ${asked}`.trimEnd());
  const [cpu] = cpus();
  console.log(
    `Linux ${release()}, ${process.arch}, ${cpus().length} cores (${cpu!.model}), ` +
      `load ${loadavg()[0]!.toFixed(1)}`,
  );
  const duckdb = await import("@duckdb/node-api").then(({ version }) => version(), () => "none");
  const versions = [
    `Bun ${process.versions.bun}`,
    await firstLine([denoPath, "--version"]),
    `DuckDB ${duckdb}`,
    await firstLine(["zstd", "--version"]),
    await firstLine(["rg", "--version"]),
  ];
  console.log(versions.join("; "));
}

async function firstLine(command: string[]): Promise<string> {
  try {
    const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "ignore"] });
    return (await new Response(child.stdout).text()).split("\n")[0]!.trim();
  } catch {
    return `no ${command[0]}`;
  }
}
