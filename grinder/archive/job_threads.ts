/**
 * Jobs in (partition_job.ts), their results out: each done in one of some threads, which this starts. Each
 * thread opens the archive's place for itself: what one reads for the other is three times as slow.
 *
 * | message | from | to |
 * |---------|------|----|
 * | a job | here | the thread |
 * | `{done}`, `{failed}` | the thread | here |
 */
import { Worker } from "node:worker_threads";
import { StorageError } from "../../shared/storage/storage.ts";
import type { PlaceName } from "./open_place.ts";
import { ParquetError } from "./parquet/footer.ts";
import type { JobResult, PartitionJob } from "./partition_job.ts";
import { ArchiveError } from "./place.ts";

export interface JobThreadsOptions {
  threads: number;
  place: PlaceName;
}

interface Failed {
  name: string;
  message: string;
  stack: string | undefined;
  code: string | undefined;
}

export type Told = { done: JobResult } | { failed: Failed };

/** All jobs' results; at the first that fails, all end and this throws as `archivePartition` does. */
export async function runJobs(
  jobs: readonly PartitionJob[],
  { threads, place }: JobThreadsOptions,
): Promise<JobResult[]> {
  const waiting = [...jobs];
  const results: JobResult[] = [];
  const all = Array.from({ length: Math.min(threads, jobs.length) }, () => new JobThread(place));
  try {
    await Promise.all(all.map(async (thread) => {
      for (let job; (job = waiting.shift());) results.push(await thread.run(job));
    }));
  } finally {
    // What they write is about to be deleted.
    await Promise.all(all.map((thread) => thread.end()));
  }
  return results;
}

class JobThread {
  readonly #worker: Worker;
  #job = Promise.withResolvers<JobResult>();

  constructor(place: PlaceName) {
    this.#worker = new Worker(new URL("./job_thread.ts", import.meta.url), { workerData: place });
    this.#worker.on("message", (told: Told) => {
      if ("done" in told) this.#job.resolve(told.done);
      else this.#job.reject(errorOf(told.failed));
    });
    this.#worker.on("error", (error) => this.#job.reject(error));
    this.#worker.on("exit", () => this.#job.reject(new Error("a thread of the archiver ended")));
    this.#job.promise.catch(() => {});
  }

  run(job: PartitionJob): Promise<JobResult> {
    this.#job = Promise.withResolvers<JobResult>();
    this.#worker.postMessage(job);
    return this.#job.promise;
  }

  async end(): Promise<void> {
    // Its end is no failure any more.
    this.#job.promise.catch(() => {});
    await this.#worker.terminate();
  }
}

function errorOf({ name, message, stack, code }: Failed): Error {
  if (name === "ArchiveError") return new ArchiveError(message);
  if (name === "ParquetError") return new ParquetError(message);
  if (name === "StorageError") return new StorageError(message);
  return Object.assign(new Error(message), { stack, code });
}
