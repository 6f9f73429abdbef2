/**
 * This project's sources in, a copy of them out in which days pass in minutes: limits of time are
 * others, those that limits.ts itself holds against each other included. A copy, since programs have
 * threads that load limits.ts for themselves; and since a run isn't disturbed by who edits the tree.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../programs.ts";

const copied = ["receiver", "shared", "grinder", "tests", "rules.ts"];
const config = ["deno.json", "package.json", "tsconfig.json", "bunfig.toml"];

/** In ms. */
const scaled = {
  // A silent epoch must be older than two idle streams, those than three heartbeats: limits.ts.
  heartbeatMs: 1_000,
  blockMsMax: 3_000,
  readIdleMs: 4_000,
  epochSilentMs: 8_000,
  segmentAgeMsMax: 4_000,
  segmentRollMs: 1_000,
  cursorNoteMs: 1_000,
  keepMsMin: 20_000,
  retentionPassMs: 2_000,
  archiveDeadMs: 16_000,
  archiveEveryMs: 1_000,
  archiveRestartMs: 500,
  archiveGraceMs: 12_000,
  archiveRunMsMax: 60_000,
  archiveGarbageMs: 70_000,
  // An hour's files are merged while it lasts.
  archiveMergeAfterMs: -3_600_000,
};

export const scaledLimits: Readonly<typeof scaled> = scaled;

/** What else is other: of the archiver that merges days before they are over. */
export const daysLimits = { archiveMergeAfterMs: -86_400_000 };

/** Copies the tree into a folder that isn't there yet. */
export function makeScaledTree(folder: string, more: Partial<typeof scaled> = {}): string {
  mkdirSync(folder, { recursive: true });
  for (const name of [...copied, ...config]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const limits = join(folder, "shared/limits");
  for (const [name, ms] of Object.entries({ ...scaled, ...more })) setLimit(limits, name, ms);
  return folder;
}

/** Throws where there isn't exactly one of that name, in one line. */
function setLimit(folder: string, name: string, ms: number): void {
  const line = new RegExp(`^  ${name}: .*,$`, "m");
  const paths = readdirSync(folder).map((file) => join(folder, file))
    .filter((path) => line.test(readFileSync(path, "utf8")));
  if (paths.length !== 1) throw new Error(`Cannot scale ${name} because limits/ must have it once`);
  const text = readFileSync(paths[0]!, "utf8");
  writeFileSync(paths[0]!, text.replace(line, `  ${name}: ${ms},`));
}
