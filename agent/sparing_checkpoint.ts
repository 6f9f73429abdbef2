/**
 * A checkpoint that spares the flash: each acknowledgement is noted in a folder that lives as long as
 * the boot (tmpfs), and once a minute on what lasts. A killed agent goes on exactly where it was; after
 * a reboot up to a minute's records are sent again, and recognised.
 */
import type { Checkpoint, Position } from "./checkpoint.ts";

/** 1,440 writes a day in place of 86,400. */
const lastingMs = 60_000;

export class SparingCheckpoint {
  #savedMs = -Infinity;
  #unsaved: Position | undefined;

  constructor(
    private readonly volatile: Checkpoint,
    private readonly lasting: Checkpoint,
    private readonly monotonicMs: () => number,
  ) {}

  /** What is in the volatile folder is of this boot, and newer; of the same boot the further counts. */
  async load(): Promise<Position | undefined> {
    const [newer, older] = [await this.volatile.load(), await this.lasting.load()];
    if (!newer || !older || newer.boot !== older.boot) return newer ?? older;
    return newer.seq >= older.seq ? newer : older;
  }

  async save(position: Position): Promise<void> {
    this.#unsaved = position;
    await this.volatile.save(position);
    if (this.monotonicMs() - this.#savedMs >= lastingMs) await this.flush();
  }

  /** Puts what is known on what lasts: at the end, too. */
  async flush(): Promise<void> {
    const position = this.#unsaved;
    if (!position) return;
    this.#unsaved = undefined;
    this.#savedMs = this.monotonicMs();
    await this.lasting.save(position);
  }
}
