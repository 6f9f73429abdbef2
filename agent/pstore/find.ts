/** Folders in, the dumps in them out: what can be read now, within a limit, without what was shipped. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { type DumpKind, parseDump } from "./dump.ts";
import type { DatedDump } from "./join.ts";
import type { DumpFile, KnownDump, Shipped } from "./shipped.ts";

export type FoundDump = DatedDump & KnownDump;

/** `.enc.z` is what the kernel couldn't decompress. systemd's dmesg.txt repeats what the others say. */
const dumpName = /^(dmesg|console|pmsg)-[\w.:-]+?(\.enc\.z)?$/;
/** systemd makes a folder for each time, and some of its versions one more in it. */
const depthMax = 2;

export interface Found {
  /** Dumps that haven't been shipped, oldest first, by folder. */
  fresh: FoundDump[][];
  /** Dumps that have been, in another place. */
  known: FoundDump[];
}

/** Looks for dumps in folders; what can't be used is reported. */
export function findDumps(
  folders: string[],
  shipped: Shipped,
  report: (text: string) => void,
): Found {
  const all = folders.flatMap((folder) => listFiles(folder, depthMax, report));
  all.sort((a, b) => a.mtimeMs - b.mtimeMs || (a.path < b.path ? -1 : 1));
  const files = all.slice(-limits.pstoreFilesMax);
  if (files.length < all.length) {
    report(`${all.length} dumps are there: the newest ${files.length} are looked at`);
  }
  shipped.keep(files);
  const dumps = readFiles(files.filter((file) => !shipped.hasFile(file)), report);
  const known = dumps.filter(({ hash }) => shipped.hasContent(hash));
  const fresh = dumps.filter((dump, index) =>
    !known.includes(dump) && dumps.findIndex(({ hash }) => hash === dump.hash) === index
  );
  return { fresh: [...Map.groupBy(fresh, ({ path }) => dirname(path)).values()], known };
}

function listFiles(folder: string, depth: number, report: (text: string) => void): DumpFile[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Not mounted, or no systemd: most devices have but one of the two.
    if (code !== "ENOENT") report(`Cannot look for dumps in ${folder}: ${message}`);
    return [];
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth > 0) return listFiles(path, depth - 1, report);
    if (!entry.isFile() || !dumpName.test(entry.name)) return [];
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat && stat.size > 0 ? [{ path, size: stat.size, mtimeMs: stat.mtimeMs }] : [];
  });
}

function readFiles(files: DumpFile[], report: (text: string) => void): FoundDump[] {
  const found: FoundDump[] = [];
  let bytesLeft = limits.pstoreBytesMax;
  for (const [index, file] of files.entries()) {
    if (file.size > bytesLeft && file.size <= limits.pstoreBytesMax) {
      report(`${files.length - index} more dumps are left for the next start`);
      break;
    }
    try {
      const dump = readDump(file);
      bytesLeft -= Math.max(file.size, dump.lines.length * limits.pstoreLineBytesMin);
      found.push(dump);
      if (dump.damage) report(`${file.path} is damaged: ${dump.damage}`);
    } catch (error) {
      report(`Cannot read ${file.path}: ${(error as Error).message}. It is left alone.`);
    }
  }
  return found;
}

function readDump(file: DumpFile): FoundDump {
  const [, kind, compressed] = dumpName.exec(file.path.slice(file.path.lastIndexOf("/") + 1))!;
  if (compressed) throw new Error("the kernel couldn't decompress it");
  if (file.size > limits.pstoreBytesMax) {
    throw new Error(`it must have at most ${limits.pstoreBytesMax} bytes: it has ${file.size}`);
  }
  const bytes = readFileSync(file.path);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 24);
  return { ...parseDump(kind as DumpKind, bytes), ...file, hash, timeMs: file.mtimeMs };
}
