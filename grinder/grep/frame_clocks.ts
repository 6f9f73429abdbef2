/** The clock records of a frame that was sieved for their mark in, each as numbers out. */
import type { Buffer } from "node:buffer";
import { HeaderScan, RecordScan, SyncScan } from "../engine/scan.ts";
import type { ClockRecord } from "../index/gram_table.ts";
import { nameHash } from "../reading/name_hash.ts";
import type { FrameMatcher } from "../sieve/frame_matcher.ts";
import { byteFrom, lineStart, type Text } from "../sieve/words.ts";

/** What each good clock record holds: the only mark that the frame is to be sieved for. */
export const clockMark = "wall_us=";

const space = 0x20;
const syncFlag = "s".charCodeAt(0);

/** A frame's text, and the same bytes as a buffer, which gives strings. */
export interface FrameBytes {
  text: Text;
  buffer: Buffer;
  length: number;
}

export class FrameClocks {
  readonly #header = new HeaderScan();
  readonly #record = new RecordScan();
  readonly #sync = new SyncScan();

  each(
    { marks: { at }, hashLineAt, hashLines }: FrameMatcher,
    frame: FrameBytes,
    found: (clock: ClockRecord) => void,
  ): void {
    let block = 0;
    for (const mark of at) {
      while (block + 1 < hashLines && hashLineAt[block + 1]! <= mark) block++;
      const start = lineStart(frame.text, 0, mark);
      const clock = hashLines > 0 ? this.#clock(frame, start, hashLineAt[block]!) : undefined;
      if (clock) found(clock);
    }
  }

  /** Of the record that begins there, under the header at another place. */
  #clock(
    { text, buffer, length }: FrameBytes,
    start: number,
    header: number,
  ): ClockRecord | undefined {
    const { bytes } = text;
    if (!this.#record.read(bytes, start) || this.#record.flag !== syncFlag) return undefined;
    if (!this.#sync.read(bytes, this.#record.behindFlag)) return undefined;
    if (!this.#header.read(text, header, length)) return undefined;
    const { recvUs, namesStart, namesEnd } = this.#header;
    const deviceEnd = byteFrom(text, space, namesStart, namesEnd);
    const bootEnd = byteFrom(text, space, deviceEnd + 1, namesEnd);
    const boot = nameHash(buffer.toString("latin1", namesStart, bootEnd));
    const { wallUs, synced } = this.#sync;
    return { boot, usec: this.#record.usec, wallUs, synced, recvUs };
  }
}
