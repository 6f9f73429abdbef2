/** What a receiver does beside its uploads, now and then, for as long as it runs. */
import type { CommitQueue } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import { Retention } from "../shared/storage/retention.ts";
import type { Admission } from "./admission.ts";
import type { Door } from "./door.ts";
import type { FlushAdvice } from "./flush_advice.ts";
import type { Say } from "./say.ts";

export interface Duties {
  admission: Admission;
  advice: FlushAdvice;
  commits: CommitQueue;
  door: Door;
  /** The folder of which old segments are deleted, and how old they get; undefined: they are kept. */
  data: string;
  keepMs: number | undefined;
  say: Say;
}

export function startDuties(duties: Duties): void {
  const { admission, advice, commits, door, data, keepMs, say } = duties;
  door.watch(admission);
  setInterval(() => {
    advice.look(admission.short);
    admission.look();
  }, limits.receiverLookMs);
  setInterval(() => commits.roll(), limits.segmentRollMs);
  if (keepMs === undefined) return;
  const report = (text: string) => say("retention", text);
  const retention = new Retention(data, { keepMs, now: Date.now, report });
  setInterval(() => void retention.pass(), limits.retentionPassMs);
}
