/**
 * The thread that storage_aside.ts starts: an epoch of a storage, at the other end of messages.
 *
 * | message in | answer |
 * |------------|--------|
 * | (the start) | `{opened: {receiver, epoch, pace}}` or `{failed: SENTENCE}` |
 * | `{id, call: "commit", texts}` | `{id}` when they are durable, as frames; `{id, error: SENTENCE}` if not |
 * | `{id, call: "probe"}`, `{id, call: "close"}` | the same |
 */
import { parentPort, workerData } from "node:worker_threads";
import { openStorage } from "../shared/storage/open.ts";
import type { EpochWriter } from "../shared/storage/storage.ts";
import { compressFrame } from "../shared/zstd.ts";
import type { Answer, Call, Opening } from "./storage_aside.ts";

const { data, options, name } = workerData as Opening;
const answer = (message: Answer) => parentPort!.postMessage(message);

try {
  const epoch = await (await openStorage(data, options)).createEpoch(name);
  const { receiver, epoch: id, pace } = epoch;
  parentPort!.on("message", (call: Call) => {
    run(epoch, call).then(
      () => answer({ id: call.id }),
      (error: Error) => answer({ id: call.id, error: error.message }),
    );
  });
  answer({ opened: { receiver, epoch: id, pace } });
} catch (error) {
  answer({ failed: (error as Error).message });
}

/** Not async up to the epoch's own call: commits are begun in the order of their messages. */
function run(epoch: EpochWriter, call: Call): Promise<void> {
  if (call.call === "probe") return epoch.probe();
  if (call.call === "close") return epoch.close();
  return epoch.commit(call.texts.map((text) => compressFrame(text)));
}
