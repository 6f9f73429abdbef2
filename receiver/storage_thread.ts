/**
 * The thread that storage_aside.ts starts: an epoch of a storage, at the other end of messages.
 *
 * | message in | answer |
 * |------------|--------|
 * | (the start) | `{opened: {receiver, epoch, pace}}` or `{failed: SENTENCE}` |
 * | `{call: "memory", memory}` | none; memories are numbered from 0 as they come |
 * | `{call: "full", text: {memory, bytes}}` | none; that text may be compressed before its commit, if no probe comes between |
 * | `{id, call: "commit", texts: [{memory, bytes}]}` | `{id}` when they are durable, as frames; `{id, error: SENTENCE}` if not |
 * | `{id, call: "probe"}`, `{id, call: "close"}` | the same |
 */
import { parentPort, workerData } from "node:worker_threads";
import { openStorage } from "../shared/storage/open.ts";
import type { EpochWriter } from "../shared/storage/storage.ts";
import { checksummed } from "./checksummed.ts";
import { letGo } from "./let_go.ts";
import type { Answer, Call, Opening, Text } from "./storage_aside.ts";

const { data, options, name } = workerData as Opening;
const answer = (message: Answer) => parentPort!.postMessage(message);
const memories: Uint8Array[] = [];
/** Frames of texts whose commit is still to come, by memory: made while the commit before is synced. */
const early = new Map<number, Uint8Array>();
// node:zlib makes a stream and takes a MiB for each frame, of which its collector sees to every fifth.
const frameOf = checksummed((text) => Bun.zstdCompressSync(text, { level: 1 }), Bun.hash.xxHash64);

try {
  const epoch = await (await openStorage(data, options)).createEpoch(name);
  const { receiver, epoch: id, pace } = epoch;
  parentPort!.on("message", (call: Call) => {
    if (call.call === "memory") return void memories.push(new Uint8Array(call.memory));
    if (call.call === "full") return void early.set(call.text.memory, frameOf(textOf(call.text)));
    run(epoch, call).then(
      () => answer({ id: call.id }),
      (error: Error) => answer({ id: call.id, error: error.message }),
    );
  });
  answer({ opened: { receiver, epoch: id, pace } });
} catch (error) {
  answer({ failed: (error as Error).message });
}

function textOf({ memory, bytes }: Text): Uint8Array {
  return memories[memory]!.subarray(0, bytes);
}

/** Not async up to the epoch's own call: commits are begun in the order of their messages. */
function run(epoch: EpochWriter, call: Extract<Call, { id: number }>): Promise<void> {
  if (call.call === "close") return epoch.close();
  if (call.call === "probe") {
    early.clear(); // After a failure there are some that aren't committed, whose memory is used again.
    return epoch.probe();
  }
  const frames = call.texts.map((text) => early.get(text.memory) ?? frameOf(textOf(text)));
  for (const { memory } of call.texts) early.delete(memory);
  return epoch.commit(frames).finally(() => frames.forEach((frame) => letGo(frame)));
}
