/**
 * The archive as a source of frames. It is sorted by device and not by time: so it is read slot by slot
 * (hours, or days); and of one device, all of a slot at once, to give it in the order of receiving.
 */
import { Buffer } from "node:buffer";
import { readBlocks } from "../../shared/block.ts";
import type { ArchiveFile } from "../archive/manifest.ts";
import type { ArchiveReader, Piece } from "../archive/reader.ts";
import { type FoundFrame, type FrameSource, inTime, type Selection } from "./frame_source.ts";

export class ArchiveFrames implements FrameSource {
  /** `done` is told how much of a file has been read. */
  constructor(
    private readonly reader: ArchiveReader,
    private readonly done: (file: ArchiveFile, share: number) => void = () => {},
  ) {}

  async *frames(selection: Selection): AsyncGenerator<FoundFrame> {
    const slots = Map.groupBy(await this.#pieces(selection), ({ file }) => file.slot);
    yield* inTime([...slots.values()].map((pieces) => {
      const fromUs = firstRecvUs(pieces.map(({ file }) => file));
      const isOne = selection.devices?.size === 1;
      const open = () =>
        isOne ? this.#sorted(pieces, selection) : this.#asTheyAre(pieces, selection);
      return { fromUs, open };
    }));
  }

  async #pieces(selection: Selection): Promise<Piece[]> {
    const pieces: Piece[] = [];
    for await (const piece of this.reader.pieces(byRecv(selection))) pieces.push(piece);
    return pieces;
  }

  async *#asTheyAre(pieces: readonly Piece[], selection: Selection): AsyncGenerator<FoundFrame> {
    const fromUs = firstRecvUs(pieces.map(({ file }) => file));
    const counts = new Map<string, number>();
    for (const { file } of pieces) counts.set(file.path, (counts.get(file.path) ?? 0) + 1);
    const read = new Map<string, number>();
    for (const piece of pieces) {
      const { file } = piece;
      for (const { bytes, length, place } of await this.reader.piece(piece, byRecv(selection))) {
        const text = Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("latin1");
        yield { ...nameOf(piece, place), fromUs, text };
      }
      read.set(file.path, (read.get(file.path) ?? 0) + 1);
      this.done(file, read.get(file.path)! / counts.get(file.path)!);
    }
  }

  /** Block by block. */
  async *#sorted(pieces: readonly Piece[], selection: Selection): AsyncGenerator<FoundFrame> {
    const blocks: FoundFrame[] = [];
    for await (const frame of this.#asTheyAre(pieces, selection)) {
      let start = 0;
      for (const { header, text, offset } of readBlocks(frame.text)) {
        const end = offset + text.length;
        blocks.push({ ...frame, fromUs: header.recvUs, text: frame.text.slice(start, end) });
        start = end;
      }
    }
    yield* blocks.sort((a, b) => a.fromUs - b.fromUs);
  }
}

function byRecv({ sinceUs, untilUs, devices }: Selection) {
  return { sinceUs, untilUs, by: "recv" as const, ...(devices ? { devices } : {}) };
}

function firstRecvUs(files: readonly ArchiveFile[]): number {
  return files.reduce((least, { minRecvUs }) => Math.min(least, minRecvUs), Infinity);
}

/** Where it stood, where that is known; else the file, and the row group in it. */
function nameOf(
  { file, group }: Piece,
  place: { receiver: string; epoch: string; segment: number; offset: number } | undefined,
): Pick<FoundFrame, "segment" | "offset"> {
  if (!place) return { segment: file.path, offset: group };
  const { receiver, epoch, segment, offset } = place;
  return { segment: `${receiver}/${epoch}/${String(segment).padStart(8, "0")}`, offset };
}
