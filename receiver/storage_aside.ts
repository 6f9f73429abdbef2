/**
 * A storage on a thread of its own: it compresses, writes and syncs there. The receiver's own thread
 * only receives; when it is behind, commits aren't, and what is in flight stays little.
 */
import process from "node:process";
import { Worker } from "node:worker_threads";
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

export type Call =
  | { id: number; call: "commit"; texts: Uint8Array[] }
  | { id: number; call: "probe" }
  | { id: number; call: "close" };

export type Answer =
  | { opened: EpochName & { pace: Pace } }
  | { failed: string }
  | { id: number; error?: string };

type Asked = Call extends infer C ? C extends { id: number } ? Omit<C, "id"> : never : never;

/**
 * A new epoch of the storage, whose `commit` takes what its `frameOf` made. Throws `StorageError` if
 * it can't be opened. A thread that breaks ends the program: what it had in hand isn't known.
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
  readonly #asked = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  /** Memory that both threads see, for a frame's text each. Used again, for garbage is collected late. */
  readonly #free: SharedArrayBuffer[] = [];

  constructor(private readonly thread: Worker, opened: EpochName & { pace: Pace }) {
    ({ receiver: this.receiver, epoch: this.epoch, pace: this.pace } = opened);
    thread.on("message", (answer: Extract<Answer, { id: number }>) => {
      const { resolve, reject } = this.#asked.get(answer.id)!;
      this.#asked.delete(answer.id);
      if (answer.error === undefined) resolve();
      else reject(new StorageError(answer.error));
    });
  }

  /** A frame's text, where the thread sees it. */
  readonly frameOf = (parts: readonly Uint8Array[], bytes: number): Uint8Array => {
    const memory = this.#free.pop() ?? new SharedArrayBuffer(limits.frameTextBytesMax);
    const text = new Uint8Array(memory, 0, bytes);
    let at = 0;
    for (const part of parts) {
      text.set(part, at);
      at += part.length;
    }
    return text;
  };

  commit(texts: Uint8Array[]): Promise<void> {
    return this.#ask({ call: "commit", texts }).finally(() => {
      this.#free.push(...texts.map((text) => text.buffer as SharedArrayBuffer));
    });
  }

  probe(): Promise<void> {
    return this.#ask({ call: "probe" });
  }

  close(): Promise<void> {
    return this.#ask({ call: "close" });
  }

  #ask(asked: Asked): Promise<void> {
    const id = this.#next++;
    this.thread.postMessage({ id, ...asked });
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }
}
