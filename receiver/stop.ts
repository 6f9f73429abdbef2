/** A signal that asks the receiver to end, in; its parts are ended in order, and the program with them. */
import process from "node:process";
import type { CommitQueue } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import type { Admission } from "./admission.ts";
import type { Door } from "./door.ts";

export interface Ending {
  admission: Pick<Admission, "stop">;
  commits: Pick<CommitQueue, "close">;
  door: Pick<Door, "close">;
  listener: { stop(): Promise<void> };
}

/** What was read is committed and acknowledged first; what hangs is left behind after `stopMs`. */
export function stopAtSignals({ admission, commits, door, listener }: Ending): void {
  const stop = async () => {
    setTimeout(() => process.exit(1), limits.stopMs);
    await admission.stop();
    await commits.close();
    await door.close();
    // The last answers are on their way; idle connections would keep the server for ever.
    await Promise.race([listener.stop(), new Promise((resolve) => setTimeout(resolve, 300))]);
    process.exit(0);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}
