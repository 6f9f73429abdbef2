/** A receiver that stores blocks at a rate, some of them again, for as long as it is wanted. */
import { Buffer } from "node:buffer";
import { CommitQueue } from "../../shared/commit_queue.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import type { Line } from "./corpus.ts";
import { DeviceBlocks } from "./device_blocks.ts";

export interface LiveWriterOptions {
  data: string;
  rateMB: number;
  random: () => number;
  nextLine: () => Line;
}

const devices = 200;
const turnMs = 10;
/** Blocks that are sent again, of those that were sent last. */
const resentShare = 0.1;
const rememberedMax = 500;

export class LiveWriter {
  textBytes = 0;
  readonly #blocks: DeviceBlocks;
  readonly #sent: string[] = [];
  #stopping = false;
  #running: Promise<void>;

  private constructor(private readonly options: LiveWriterOptions, queue: CommitQueue) {
    const bootUs = Date.now() * 1000 - 3600e6;
    this.#blocks = new DeviceBlocks({ ...options, devices, blockBytes: 2_500, bootUs });
    this.#running = this.#run(queue);
  }

  static async start(options: LiveWriterOptions): Promise<LiveWriter> {
    const epoch = await new FolderStorage(options.data).createEpoch("live");
    return new LiveWriter(options, new CommitQueue(epoch));
  }

  /** All is stored, and the epoch has ended. */
  stop(): Promise<void> {
    this.#stopping = true;
    return this.#running;
  }

  async #run(queue: CommitQueue): Promise<void> {
    const startMs = performance.now();
    while (!this.#stopping) {
      const dueBytes = (performance.now() - startMs) * this.options.rateMB * 1000;
      const appends: Array<Promise<void>> = [];
      while (this.textBytes < dueBytes) {
        const block = this.#next();
        this.textBytes += block.length;
        appends.push(queue.append(Buffer.from(block, "latin1")));
      }
      await Promise.all(appends);
      await Bun.sleep(turnMs);
    }
    await queue.close();
  }

  #next(): string {
    const { random } = this.options;
    if (this.#sent.length > 0 && random() < resentShare) {
      return this.#sent[Math.floor(random() * this.#sent.length)]!;
    }
    const block = this.#blocks.next(Date.now() * 1000);
    if (this.#sent.length < rememberedMax) this.#sent.push(block);
    else this.#sent[Math.floor(random() * rememberedMax)] = block;
    return block;
  }
}
