/** One source from its first record to its last acknowledgement: source, encoder, outbox, uploader. */
import { limits } from "../shared/limits.ts";
import type { LogRecord } from "../shared/record.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { Encoder, type Frame } from "./encoder.ts";
import { Outbox } from "./outbox.ts";
import type { Source } from "./source.ts";
import { Uploader, type UploaderOptions } from "./uploader.ts";

export interface PipelineOptions
  extends Omit<UploaderOptions, "names" | "outbox" | "acked" | "flushMs"> {
  source: Source;
  /** Where acknowledged positions are kept; streams that end with the process need none. */
  checkpoint?: Pick<Checkpoint, "save"> | undefined;
  /** Told of each frame that became durable. */
  acked?: (frame: Frame) => void;
  /** Memory for what isn't acknowledged. */
  spoolBytes?: number | undefined;
  /** Changes what leaves the device; positions stay those of the records as they were read. */
  transform?: ((record: LogRecord) => LogRecord) | undefined;
  /** Nothing is sent before: other streams come first. Reading begins at once. */
  after?: Promise<unknown> | undefined;
}

/** A source that waits for room looks again so often, whether it still can. */
const roomLookMs = 1_000;

export class Pipeline {
  readonly outbox: Outbox;
  readonly uploader: Uploader;
  readonly #encoder: Encoder;
  #flushMs: number = limits.flushMs;
  #flushing = false;
  #saved: Promise<void> | undefined;

  constructor(private readonly options: PipelineOptions) {
    const { spoolBytes, kernelUs, transform } = options;
    this.#encoder = new Encoder(transform);
    const bytesMax = spoolBytes === undefined ? {} : { bytesMax: spoolBytes };
    this.outbox = new Outbox({ kernelUs, ...bytesMax });
    this.uploader = new Uploader({
      ...options,
      names: options.source,
      outbox: this.outbox,
      acked: (frame) => this.#acked(frame),
      flushMs: (ms) => {
        this.#flushMs = Math.min(Math.max(ms, limits.flushMs), limits.flushMsMax);
      },
    });
  }

  /** Resolves when the source has ended and all of it is acknowledged. */
  async run(): Promise<void> {
    const uploading = Promise.resolve(this.options.after).then(() => this.uploader.run());
    await Promise.all([this.#pump(), uploading]);
    await this.#saved;
  }

  async #pump(): Promise<void> {
    const { source } = this.options;
    await this.#room();
    for (let records = await source.read(); records; records = await source.read()) {
      for (const record of records) {
        this.#encoder.add(record);
        if (this.#encoder.full) this.#flush();
      }
      if (!this.#encoder.empty && !this.#flushing) void this.#flushLater();
      await this.#room();
    }
    this.#flush();
    this.outbox.end();
  }

  /** Waits while memory is full and what isn't read can stay where it is, or nothing can be evicted. */
  async #room(): Promise<void> {
    const { outbox, uploader } = this;
    const { source, clock } = this.options;
    const safe = () => source.safe?.(uploader.offlineMs) ?? true;
    while (outbox.full && (safe() || !outbox.evictable)) {
      await Promise.race([outbox.changed(), clock.sleep(roomLookMs)]);
    }
  }

  #flush(): void {
    if (!this.#encoder.empty) this.outbox.push(this.#encoder.take());
  }

  async #flushLater(): Promise<void> {
    this.#flushing = true;
    const offline = this.uploader.offlineMs > 0;
    await this.options.clock.sleep(offline ? limits.offlineFlushMs : this.#flushMs);
    this.#flushing = false;
    this.#flush();
  }

  #acked(frame: Frame): void {
    const { source, checkpoint, acked } = this.options;
    acked?.(frame);
    if (!frame.range || !checkpoint) return;
    const { boot, stream } = source;
    this.#saved = checkpoint.save({ boot, stream, seq: frame.range.last, hash: frame.hash! });
  }
}

/** The same where nobody needs the parts. */
export function runPipeline(options: PipelineOptions): Promise<void> {
  return new Pipeline(options).run();
}
