/** A thread that does jobs (partition_job.ts), one after the other; messages are those of job_threads.ts. */
import { parentPort, workerData } from "node:worker_threads";
import type { Told } from "./job_threads.ts";
import { openPlace, type PlaceName } from "./open_place.ts";
import { archivePartition, type PartitionJob } from "./partition_job.ts";

const port = parentPort!;
const { data, options } = workerData as PlaceName;
const place = openPlace(data, options);

port.on("message", (job: PartitionJob) => void work(job));

async function work(job: PartitionJob): Promise<void> {
  try {
    tell({ done: await archivePartition(job, await place, () => {}) });
  } catch (error) {
    const { name, message, stack, code } = error as Error & { code?: string };
    tell({ failed: { name, message, stack, code } });
  }
}

function tell(what: Told): void {
  port.postMessage(what);
}
