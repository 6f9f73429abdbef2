/**
 * Batches that a receiver refused for good, kept for whoever wants to know why: `FOLDER/refused/N.zst`,
 * each one upload frame (shared/upload.ts). The newest few stay.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Frame } from "./encoder.ts";

/** Of at most 64 KiB of text each: enough to see what is wrong, too little to fill a flash. */
const keptMax = 8;

/** Keeps a frame; a disk that can't take it is no reason to stop. */
export function keepRefused(folder: string, frame: Frame, nowMs: number): void {
  const refused = join(folder, "refused");
  try {
    mkdirSync(refused, { recursive: true, mode: 0o700 });
    writeFileSync(join(refused, `${nowMs}.zst`), frame.bytes, { mode: 0o600 });
    const old = readdirSync(refused).filter((name) => /^\d+\.zst$/.test(name))
      .sort((a, b) => parseInt(a) - parseInt(b)).slice(0, -keptMax);
    for (const name of old) rmSync(join(refused, name));
  } catch { /* The gap record and the report say it all the same. */ }
}
