/**
 * A storage on a thread of its own: it compresses, writes and syncs there. The receiver's own thread
 * only receives; when it is behind, commits aren't, and what is in flight stays little.
 */
import process from "node:process";
import { Worker } from "node:worker_threads";
import type { Texts } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import type { OpenOptions } from "../shared/storage/open.ts";
import {
  type EpochName,
  type EpochWriter,
  type Pace,
  StorageError,
} from "../shared/storage/storage.ts";

export interface Opening {
  data: string;
  options: OpenOptions;
  /** The receiver's name in the storage. */
  name: string;
}

/** A frame's text, in the memory of this number. */
export interface Text {
  memory: number;
  bytes: number;
}

export type Call =
  | { call: "memory"; memory: SharedArrayBuffer }
  | { call: "full"; text: Text }
  | { id: number; call: "commit"; texts: Text[] }
  | { id: number; call: "probe" }
  | { id: number; call: "close" };

export type Answer =
  | { opened: EpochName & { pace: Pace } }
  | { failed: string }
  | { id: number; error?: string };

type Asked = { call: "commit"; texts: Text[] } | { call: "probe" } | { call: "close" };

/**
 * A new epoch of the storage, whose `commit` takes texts in memory that its `texts` made. Throws
 * `StorageError` if it can't be opened. A thread that breaks ends the program: what it had in hand isn't known.
 */
export async function openEpochAside(opening: Opening): Promise<EpochAside> {
  const thread = new Worker(new URL("./storage_thread.ts", import.meta.url), {
    workerData: opening,
  });
  thread.once("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  const first = await new Promise<Answer>((resolve) => thread.once("message", resolve));
  if ("opened" in first) return new EpochAside(thread, first.opened);
  void thread.terminate();
  throw new StorageError("failed" in first ? first.failed : "Cannot open the storage");
}

class EpochAside implements EpochWriter {
  readonly receiver: string;
  readonly epoch: string;
  readonly pace: Pace;
  #next = 0;
  /** Those that the thread knows, and their numbers. */
  readonly #memories = new Map<ArrayBufferLike, number>();
  readonly #asked = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

  constructor(private readonly thread: Worker, opened: EpochName & { pace: Pace }) {
    ({ receiver: this.receiver, epoch: this.epoch, pace: this.pace } = opened);
    thread.on("message", (answer: Extract<Answer, { id: number }>) => {
      const { resolve, reject } = this.#asked.get(answer.id)!;
      this.#asked.delete(answer.id);
      if (answer.error === undefined) resolve();
      else reject(new StorageError(answer.error));
    });
  }

  /**
   * Memory that both threads see. The other is told of it once: each time it came in a message its
   * collector would count it as new, and collect.
   */
  readonly texts: Texts = {
    memory: () => {
      const memory = new SharedArrayBuffer(limits.frameTextBytesMax);
      this.#memories.set(memory, this.#memories.size);
      this.#post({ call: "memory", memory });
      return memory;
    },
    full: (text) => this.#post({ call: "full", text: this.#named(text) }),
  };

  commit(texts: Uint8Array[]): Promise<void> {
    return this.#ask({ call: "commit", texts: texts.map((text) => this.#named(text)) });
  }

  probe(): Promise<void> {
    return this.#ask({ call: "probe" });
  }

  close(): Promise<void> {
    return this.#ask({ call: "close" });
  }

  #named({ buffer, length }: Uint8Array): Text {
    return { memory: this.#memories.get(buffer)!, bytes: length };
  }

  #post(call: Call): void {
    this.thread.postMessage(call);
  }

  #ask(asked: Asked): Promise<void> {
    const id = this.#next++;
    this.#post({ id, ...asked });
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }
}
