/**
 * The blocks of a frame, as `readBlocks` sees them, one after the other: of those that nobody asks for
 * nothing is read.
 */
import { type BlockKind, blockKind } from "./stored_bytes.ts";
import { newlineFrom, type Text, textOf } from "./words.ts";

export class Blocks {
  /** Where the block's text begins, behind its header line, and where it ends. */
  textStart = 0;
  end = 0;
  kind: BlockKind = "none";
  #text: Text = textOf(new Uint8Array(0));
  #length = 0;
  #hashLineAt: Int32Array = new Int32Array(0);
  #hashLines = 0;
  #next = 0;

  /** Begins a frame: `hashLineAt[0, hashLines)` is where lines begin with #. */
  begin(text: Text, length: number, hashLineAt: Int32Array, hashLines: number): void {
    this.#text = text;
    this.#length = length;
    this.#hashLineAt = hashLineAt;
    this.#hashLines = hashLines;
    this.#next = 0;
    // What stands before the first of them, if anything does, is under no header.
    this.#read(0);
  }

  /** Goes to the next block; false at the end of the frame. */
  next(): boolean {
    if (this.#next >= this.#hashLines) return false;
    this.#read(this.#hashLineAt[this.#next++]!);
    return true;
  }

  /** Goes to the block that `at` is in; never back. */
  moveTo(at: number): void {
    if (at < this.end) return;
    while (this.#next < this.#hashLines && this.#hashLineAt[this.#next]! <= at) this.#next++;
    this.#read(this.#hashLineAt[this.#next - 1]!);
  }

  /** Of the header line at `start`, behind which `#next` points already. */
  #read(start: number): void {
    this.end = this.#next < this.#hashLines ? this.#hashLineAt[this.#next]! : this.#length;
    const headerEnd = newlineFrom(this.#text, start, this.end);
    this.kind = blockKind(this.#text.bytes, start, headerEnd);
    this.textStart = Math.min(headerEnd + 1, this.end);
  }
}
