/**
 * The seam between what produces records and what sends them: one source is one stream.
 *
 * A source numbers its records (or passes on the kernel's numbers) so that (boot, source, stream, seq)
 * names each for ever. Gaps are records too: a source puts a `g` record where it knows that some are
 * missing. After a crash it begins behind the position that the checkpoint holds, or before it: what
 * is sent twice is recognised by its seq.
 */
import type { LogRecord } from "../shared/record.ts";

export interface StreamNames {
  boot: string;
  source: string;
  stream: string;
  /** The boot is another than this one: this machine's clocks say nothing about its records. */
  readonly over?: boolean;
}

export interface Source extends StreamNames {
  /**
   * The next records in order, at least one; waits for them. Undefined when there will be no more.
   * The caller owns them. Not to be called again before it has resolved.
   */
  read(): Promise<LogRecord[] | undefined>;
  /**
   * What hasn't been read is safe where it is, for now: while memory is full it can stay there.
   * `offlineMs` is how long nothing could be sent. Absent: it is always safe.
   */
  safe?(offlineMs: number): boolean;
  /**
   * Makes a waiting `read` resolve to undefined. What was there until now is read before, unless it is
   * still there at the next start. May be called again.
   */
  close(): void;
}
