/** What tests of reading share: a store that two receivers filled, and the slow way to read it. */
import { Buffer } from "node:buffer";
import { formatBlockHeader, readBlocks } from "../../shared/block.ts";
import { forEachRecord, formatRecord, gapRecord, isMeta } from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import type { EpochWriter, Storage } from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { noonUs } from "../fixtures.ts";
import { forEachRawLine } from "../raw_lines.ts";
import type { Selection } from "./frame_source.ts";
import { forEachFresh, type Stored } from "./stored.ts";

/** One record, as it is told apart from all others. */
export type Name = string;

export class RandomStore extends TemporaryFolder implements AsyncDisposable {
  nowUs = noonUs;
  readonly storage = new FolderStorage(this.path, { nowMs: () => this.nowUs / 1000 });
  readonly #epochs = new Map<string, EpochWriter>();
  readonly #sent: string[] = [];
  readonly #nextSeq = new Map<string, number>();
  #raws = 0;

  constructor(private readonly random: () => number) {
    super();
  }

  /** Commits of two receivers, which end and start now and then. */
  async commits(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.nowUs += Math.floor(this.random() * 90e6);
      const receiver = this.#below(2) === 0 ? "r1" : "r2";
      const blocks = Array.from({ length: 1 + this.#below(4) }, () => this.#block());
      const epoch = this.#epochs.get(receiver) ?? await this.storage.createEpoch(receiver);
      this.#epochs.set(receiver, epoch);
      await epoch.commit([compressFrame(Buffer.from(blocks.join(""), "latin1"))]);
      if (this.#below(12) > 0) continue;
      await epoch.close();
      this.#epochs.delete(receiver);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const epoch of this.#epochs.values()) await epoch.close();
    this[Symbol.dispose]();
  }

  #below(most: number): number {
    return Math.floor(this.random() * most);
  }

  #block(): string {
    const kind = this.#below(10);
    const names = `d${this.#below(5)} b${this.#below(2)}`;
    if (kind === 0) return this.#raw(names.split(" ")[0]!);
    const key = `${names} ${kind < 7 ? `kmsg ${names.split(" ")[1]}` : "app:x s1"}`;
    const [device, , source, stream] = key.split(" ");
    // A file's stream goes on from boot to boot.
    const id = `${device} ${source} ${stream}`;
    const next = this.#nextSeq.get(id) ?? 0;
    // Sent again, as a whole or in part, and with more behind it.
    const first = this.#below(4) === 0 ? Math.max(0, next - this.#below(12)) : next;
    const last = first + this.#below(8);
    this.#nextSeq.set(id, Math.max(next, last + 1));
    return this.#records(key, first, last);
  }

  #records(key: string, first: number, last: number): string {
    const [device, boot, source, stream] = key.split(" ") as [string, string, string, string];
    let text = "";
    if (first > 5 && this.#below(6) === 0) {
      const gap = { first: first - 2, last: first - 1, count: 2, cause: "overrun" as const };
      text += formatRecord(gapRecord(first, first * 1e6, gap));
    }
    for (let seq = first; seq <= last; seq++) text += `6,${seq},${seq}000000,-;${source} ${seq}\n`;
    const header = { device, boot, source, stream, recvUs: this.nowUs };
    return formatBlockHeader({ ...header, first, last, count: last - first + 1 }) + text;
  }

  #raw(device: string): string {
    const header = { device, boot: "-", source: "raw", stream: "-", recvUs: this.nowUs };
    const numbers = { first: 0, last: 0, count: 0 };
    return formatBlockHeader({ ...header, ...numbers }) + `raw line ${this.#raws++}\nanother\n`;
  }
}

/** Everything of a selection, read from the first segment to the last, record by record. */
export async function plainScan(storage: Storage, selection: Selection): Promise<Name[]> {
  const { sinceUs, untilUs, devices } = selection;
  const names = new Set<Name>();
  let raw = 0;
  for await (const { text } of readNew(storage, new Map())) {
    for (const { header, text: records } of readBlocks(text ?? "")) {
      const { device, source, stream, recvUs } = header;
      if (devices && !devices.has(device)) continue;
      if (recvUs < sinceUs || recvUs >= untilUs) continue;
      if (source === "raw") {
        forEachRawLine(records, (record) => names.add(`raw ${raw++} ${device} ${record.text}`));
        continue;
      }
      forEachRecord(records, (record) => {
        if (!isMeta(record.flag)) {
          names.add(`${device} ${source} ${stream} ${record.seq} ${record.text}`);
        }
      }, () => {});
    }
  }
  return [...names].map(withoutNumber).sort();
}

/** The same through the reading path; a record that comes twice is in it twice. */
export async function throughStored(stored: Stored, selection: Selection): Promise<Name[]> {
  const names: Name[] = [];
  for await (const { blocks } of stored.blocks(selection)) {
    for (const block of blocks) {
      const { device, source, stream } = block.header;
      forEachFresh(block, (record) => {
        if (source === "raw") names.push(`raw ${device} ${record.text}`);
        else if (!isMeta(record.flag)) {
          names.push(`${device} ${source} ${stream} ${record.seq} ${record.text}`);
        }
      });
    }
  }
  return names.sort();
}

function withoutNumber(name: Name): Name {
  return name.replace(/^raw \d+ /, "raw ");
}
