/** What tests of the archive share: a store with receivers, an archiver beside it, and all rows of either. */
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BlockHeader, formatBlockHeader, readBlocks } from "../../shared/block.ts";
import { forEachRecord, isMeta } from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import type { Cursors, Storage } from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { Archiver, type ArchiverOptions } from "./archiver.ts";
import type { Manifest } from "./manifest.ts";
import type { ArchivePlace } from "./place.ts";
import { FolderPlace } from "./place_folder.ts";
import { ArchiveReader, type BadFile, type Selection } from "./reader.ts";

export const noonUs = Date.UTC(2026, 10, 22, 12) * 1000;

/** One block's text with its header. The numbers are true unless they are given. */
export function blockText(records: string, more: Partial<BlockHeader> = {}): string {
  const seqs: number[] = [];
  forEachRecord(records, ({ flag, seq }) => void (isMeta(flag) || seqs.push(seq)), () => {});
  const numbers = { first: Math.min(...seqs), last: Math.max(...seqs), count: seqs.length };
  const header = {
    ...{ device: "d1", boot: "b1", source: "kmsg", stream: "b1", recvUs: noonUs },
    ...(seqs.length > 0 ? numbers : { first: 0, last: 0, count: 0 }),
    ...more,
  };
  return formatBlockHeader(header) + records;
}

/** Ordinary records first..last, one each second. */
export function lines(first: number, last: number, text = "line"): string {
  let all = "";
  for (let seq = first; seq <= last; seq++) all += `6,${seq},${seq * 1e6},-;${text} ${seq}\n`;
  return all;
}

export class Store implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "logmill-archive-"));
  readonly data = join(this.folder, "data");
  readonly place: ArchivePlace;
  readonly storage: Storage;
  readonly random = seededRandom(1);
  readonly reports: string[] = [];
  nowMs = noonUs / 1000;

  constructor(place?: ArchivePlace, storage?: Storage) {
    this.place = place ?? new FolderPlace(this.data);
    this.storage = storage ?? new FolderStorage(this.data, { nowMs: () => this.nowMs });
  }

  /** An epoch with these frames in it, closed. */
  async receive(frames: string[], receiver = "r1"): Promise<void> {
    const epoch = await this.storage.createEpoch(receiver);
    for (const text of frames) await epoch.commit([compressFrame(Buffer.from(text, "latin1"))]);
    await epoch.close();
    this.nowMs += 1000;
  }

  archiver(more: Partial<ArchiverOptions> = {}): Archiver {
    return new Archiver({
      storage: this.storage,
      place: this.place,
      scratch: join(this.folder, "scratch"),
      partitions: 2,
      memoryBytes: 256e6,
      nowMs: () => this.nowMs,
      random: this.random,
      report: (text) => this.reports.push(text),
      ...more,
    });
  }

  manifest(): Promise<Manifest> {
    return this.archiver().store.newest(2);
  }

  async reader(bad?: (bad: BadFile) => void): Promise<ArchiveReader> {
    return new ArchiveReader(this.place, await this.manifest(), bad);
  }

  /** What the archive gives. */
  async archived(selection: Selection = {}): Promise<Row[]> {
    const reader = await this.reader((bad) => {
      throw new Error(bad.why);
    });
    const rows: Row[] = [];
    for await (const { text } of reader.reads(selection)) rows.push(...rowsOf(text!));
    return rows;
  }

  /** What segments give beyond these cursors. */
  async hot(after: Cursors = new Map()): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const { text } of readNew(this.storage, after)) rows.push(...rowsOf(text ?? ""));
    return rows;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A record, or a line that is none, with all that says whose it is: one text. */
export type Row = string;

export function rowsOf(frameText: string): Row[] {
  const rows: Row[] = [];
  for (const { header, text } of readBlocks(frameText)) {
    const { device, boot, source, stream, recvUs } = header;
    const names = [device, boot, source, stream, recvUs].join(" ");
    for (const record of recordsOf(source, text)) rows.push(`${names} ${record}`);
  }
  return rows;
}

/** A record's lines, whatever they are; of raw text each line. */
function recordsOf(source: string, text: string): string[] {
  const separator = source === "raw" ? /(?<=\n)/ : /(?<=\n)(?! )/;
  return text.split(separator);
}

/** Each record once, by its seq; of two with the same the first. What has no seq stays as often as it is. */
export function onceEach(rows: readonly Row[]): Row[] {
  const seen = new Set<string>();
  return rows.filter((row) => {
    const [device, , source, stream, , ...rest] = row.split(" ");
    const match = /^\d{1,4},(\d{1,16}),\d{1,16},([^,;]{1,4})[,;]/.exec(rest.join(" "));
    const known = match && source !== "raw" && Number(match[1]) <= Number.MAX_SAFE_INTEGER;
    if (!known) return true;
    const id = isMeta(match[2]!) ? rest.join(" ") : match[1];
    const key = `${device} ${source} ${stream} ${id}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
