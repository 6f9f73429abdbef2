/** What the tests of the folder storage share: folders, a disk that fails as told, readers. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "bun:test";
import { limits } from "../limits.ts";
import { Reader } from "./contract.ts";
import { type FolderOptions, FolderStorage } from "./folder.ts";
import { epochFolder } from "./folder_files.ts";
import { type EpochName } from "./storage.ts";

const folders: string[] = [];

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "logmill-folder-"));
  folders.push(folder);
  return folder;
}

/** For `afterAll`. */
export function removeFolders(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

/** Files that fail as told: each call of an operation takes the next word, or works. */
export interface Disk {
  openFile: NonNullable<FolderOptions["openFile"]>;
  /** The code with which the next call of each operation fails. */
  fail: { open?: string; write?: string; datasync?: string; truncate?: string };
  /** So many bytes are written at a time, at most. */
  writeBytesMax: number;
  opened: string[];
  closed: number;
}

export function failingDisk(): Disk {
  const broken = (code: string) => Object.assign(new Error(`${code}: told so`), { code });
  const disk: Disk = {
    fail: {},
    writeBytesMax: Infinity,
    opened: [],
    closed: 0,
    async openFile(path, flags) {
      if (disk.fail.open) throw broken(disk.fail.open);
      disk.opened.push(path);
      const file = await open(path, flags);
      const handle = {
        async write(bytes: Uint8Array, from: number, length: number, at: number) {
          // A disk that fails in the middle has written something.
          const most = disk.fail.write ? Math.floor(length / 2) : disk.writeBytesMax;
          const done = await file.write(bytes, from, Math.min(length, most), at);
          if (disk.fail.write) throw broken(disk.fail.write);
          return done;
        },
        async datasync() {
          if (disk.fail.datasync) throw broken(disk.fail.datasync);
          await file.datasync();
        },
        async truncate(length: number) {
          if (disk.fail.truncate) throw broken(disk.fail.truncate);
          await file.truncate(length);
        },
        async close() {
          disk.closed++;
          await file.close();
        },
      };
      return handle as unknown as FileHandle;
    },
  };
  return disk;
}

export function committedOf(root: string, name: EpochName): string {
  return readFileSync(join(epochFolder(root, name), "committed"), "utf8");
}

export function segmentsOf(root: string, name: EpochName): string[] {
  return readdirSync(epochFolder(root, name)).filter((file) => file.endsWith(".zst")).sort();
}

/** What a grinder reads that starts now; `laterMs` makes every epoch silent. */
export async function readAll(root: string, name: EpochName, laterMs = 0): Promise<Reader> {
  const reader = new Reader(new FolderStorage(root, { nowMs: () => Date.now() + laterMs }));
  await reader.readOn();
  expect([...reader.texts.keys()].every((key) => key === `${name.receiver}/${name.epoch}`)).toBe(
    true,
  );
  return reader;
}

export const silentMs = limits.epochSilentMs + 1_000;
