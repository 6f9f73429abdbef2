/**
 * The end of a boot of which nothing survived, or not from the last acknowledged record on: a hard reset,
 * a kernel without ramoops, a dump that is too small. All that is known is behind which record something
 * may be missing, so one gap record says that, in the boot's own stream.
 */
import { gapRecord, type LogRecord } from "../../shared/record.ts";
import type { Died, LastWords } from "./pstore.ts";

export class LostEnd implements LastWords {
  readonly source = "kmsg";
  readonly over = true;
  readonly boot: string;
  readonly stream: string;
  #record: LogRecord | undefined;
  #cut = false;

  /** `usec`: of the first record that survived; 0 if none did. */
  constructor({ boot, position }: Died, usec: number, private readonly tell: () => void) {
    this.boot = boot;
    this.stream = position?.stream ?? boot;
    const first = (position?.seq ?? -1) + 1;
    // There may be none: nobody knows.
    const gap = gapRecord(first, usec, { first, last: "?", count: 0, cause: "lost" });
    this.#record = { ...gap, text: "logmill: what came next in this boot is lost" };
  }

  read(): Promise<LogRecord[] | undefined> {
    const records = this.#record && [this.#record];
    this.#record = undefined;
    return Promise.resolve(records);
  }

  close(): void {
    if (this.#record) this.#cut = true;
    this.#record = undefined;
  }

  shipped(): void {
    if (!this.#cut) this.tell();
  }
}
