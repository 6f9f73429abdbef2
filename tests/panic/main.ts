/** `bun run test:panic`: a real kernel panics in a guest; what it said until then is looked for in the storage. */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { check } from "./checks.ts";
import { installMissing, unpackedDebian } from "./debian.ts";
import { excerpt } from "./excerpt.ts";
import { buildImages } from "./images.ts";
import { narrativeIn, runVariant } from "./run.ts";
import { type Variant, variants } from "./variants.ts";

const { values } = programOptions(
  `
Usage: bun run test:panic [OPTIONS]     Debian's kernel panics in QEMU; what survives is looked for
Exit status 1 if anything isn't as it must be.`,
  {
    all: { type: "flag", unit: "", help: "every variant, not only the first" },
    only: { type: "list", unit: "name", help: variants.map(({ name }) => name).join(", ") },
    keep: { type: "text", unit: "folder", help: "where logs and data stay (default: nowhere)" },
  },
  process.argv.slice(2),
);
const unknown = values.only.find((name) => !variants.some((variant) => variant.name === name));
if (unknown !== undefined) {
  console.error(`Cannot run ${unknown}: there is no such variant. Try --help.`);
  process.exit(2);
}
const named = variants.filter(({ name }) => values.only.includes(name));
const wanted = named.length > 0 ? named : values.all ? variants : variants.slice(0, 1);

const startMs = performance.now();
installMissing();
const folder = values.keep ?? mkdtempSync(join(tmpdir(), "logmill-panic-"));
const images = buildImages(unpackedDebian(), join(folder, "images"));
console.log(`the guest is built in ${secondsSince(startMs)} s\n`);
const waiting = [...wanted];
let failed = 0;
// A guest takes one processor.
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, async () => {
  for (let next = waiting.shift(); next; next = waiting.shift()) await run(next);
}));
if (values.keep === undefined) rmSync(folder, { recursive: true });
console.log(`${wanted.length - failed} passed, ${failed} failed in ${secondsSince(startMs)} s`);
process.exit(failed === 0 ? 0 : 1);

async function run(variant: Variant): Promise<void> {
  const startMs = performance.now();
  const lines = [`${variant.name}: ${variant.story}`];
  const place = join(folder, variant.name.replaceAll(" ", "-"));
  try {
    const findings = check(variant, await runVariant(variant, images, place));
    lines.push(...findings.map(({ ok, text }) => `  ${ok ? "ok  " : "WRONG"} ${text}`));
    if (findings.some(({ ok }) => !ok)) failed++;
    if (variant === variants[0]) lines.push("", excerpt(narrativeIn(place)), "");
  } catch (error) {
    failed++;
    lines.push(`  WRONG ${(error as Error).message}`);
  }
  console.log(`${lines.join("\n")}\n  ${secondsSince(startMs)} s\n`);
}

function secondsSince(ms: number): string {
  return ((performance.now() - ms) / 1000).toFixed(0);
}
