/** What the kernel's log holds, read beside the programs that are measured: how many, up to which seq. */
import { openRing } from "../../agent/ring.ts";
import { parseRecord } from "../../shared/record.ts";

/** At 80 KB/s a ring of 128 KiB lasts a second and a half. */
const lookMs = 100;

export class RingWatch {
  readonly #ring = openRing();
  readonly #timer = setInterval(() => this.look(), lookMs);
  /** The newest record's; -1 if there is none. */
  seq = -1;

  look(): void {
    for (let read = this.#ring.next(); read.kind !== "empty"; read = this.#ring.next()) {
      if (read.kind !== "record") continue;
      this.seq = parseRecord(read.text.split("\n", 1)[0]!)?.seq ?? this.seq;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#ring.close();
  }
}
