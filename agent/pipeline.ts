/** One source from its first record to its last acknowledgement: source, encoder, outbox, uploader. */
import { limits } from "../shared/limits.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { Encoder, type Frame } from "./encoder.ts";
import { Outbox } from "./outbox.ts";
import type { Source } from "./source.ts";
import { Uploader, type UploaderOptions } from "./uploader.ts";

export interface PipelineOptions
  extends Omit<UploaderOptions, "names" | "outbox" | "acked" | "flushMs"> {
  source: Source;
  /** Where acknowledged positions are kept; streams that end with the process need none. */
  checkpoint?: Checkpoint | undefined;
  /** Told of each frame that became durable. */
  acked?: (frame: Frame) => void;
}

/** Resolves when the source has ended and all of it is acknowledged. */
export async function runPipeline(options: PipelineOptions): Promise<void> {
  const { source, checkpoint, clock } = options;
  const encoder = new Encoder();
  const outbox = new Outbox();
  let flushMs: number = limits.flushMs;
  let saved: Promise<void> | undefined;
  let flushing = false;
  let room = Promise.resolve();

  const flush = () => room = outbox.push(encoder.take());
  const flushLater = async () => {
    flushing = true;
    await clock.sleep(flushMs);
    flushing = false;
    if (!encoder.empty) void flush();
  };
  const pump = async () => {
    for (let records = await source.read(); records; records = await source.read()) {
      for (const record of records) {
        encoder.add(record);
        if (encoder.full) await flush();
      }
      if (!encoder.empty && !flushing) void flushLater();
      // Offline, many small frames fill the outbox as well: the source waits.
      await room;
    }
    if (!encoder.empty) void flush();
    outbox.end();
  };
  const uploader = new Uploader({
    ...options,
    names: source,
    outbox,
    acked: (frame) => {
      options.acked?.(frame);
      if (!frame.range || !checkpoint) return;
      const { boot, stream } = source;
      saved = checkpoint.save({ boot, stream, seq: frame.range.last, hash: frame.hash! });
    },
    flushMs: (ms) => flushMs = Math.min(Math.max(ms, limits.flushMs), limits.flushMsMax),
  });
  await Promise.all([pump(), uploader.run()]);
  await saved;
}
