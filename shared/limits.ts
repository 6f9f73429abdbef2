/**
 * Every limit of the system, each with its unit (bytes unless the name says otherwise) and its
 * reason; the relations between them are asserted when this module is loaded.
 */
import { agentLimits } from "./limits/agent.ts";
import { grinderLimits } from "./limits/grinder.ts";
import { historyLimits } from "./limits/history.ts";
import { receiverLimits } from "./limits/receiver.ts";
import { receiverBudget } from "./limits/receiver_budget.ts";
import { storedLimits } from "./limits/stored.ts";
import { KiB } from "./limits/units.ts";

export const limits = {
  ...storedLimits,
  ...receiverLimits,
  ...agentLimits,
  ...grinderLimits,
  ...historyLimits,
} as const;

/** Throws at load if two limits contradict each other: a programmer's mistake. */
function assertRelation(holds: boolean, relation: string): void {
  if (!holds) throw new Error(`Cannot start because limits must hold: ${relation}`);
}

const l = limits;
assertRelation(
  l.uploadFrameTextBytesMax + l.headerBytesMax <= l.frameTextBytesMax,
  "an upload's frame and its header line fit a segment's frame",
);
assertRelation(
  2 * l.frameTextBytesEnough >= l.frameTextBytesMax,
  "text in flight takes at most twice its memory",
);
assertRelation(
  4 * l.nameBytesMax + 4 * 20 + 16 <= l.headerBytesMax,
  "the longest names and numbers fit a header line",
);
assertRelation(
  l.uploadFrameTextBytesMax + (l.uploadFrameTextBytesMax >> 8) + 512 <= l.uploadFrameBytesMax,
  "incompressible text fits a compressed frame",
);
assertRelation(l.rawLineBytesMax * 2 <= l.uploadFrameTextBytesMax, "raw lines fit a frame");
assertRelation(
  l.uploadFrameBytesMax + l.headerBytesMax + 4 * KiB < l.s3ObjectBytesMax,
  "a segment's frame fits an object",
);
assertRelation(l.s3TryMs <= l.s3RequestMs, "a request has time for a try");
assertRelation(l.s3RequestMs < l.ackTimeoutMs, "a slow storage isn't taken for a dead receiver");
assertRelation(l.rawLineBytesMax < l.fileReadBytes, "a line of a file fits one read");
assertRelation(l.readIdleMs >= 3 * l.heartbeatMs, "read-idle is at least three heartbeats");
assertRelation(l.readIdleMs < 255_000, "read-idle is within what Bun can time");
assertRelation(l.ackTimeoutMs >= 3 * l.ackIntervalMsMax, "some acknowledgements fit its time-out");
assertRelation(2 * l.startingMs < l.ackTimeoutMs, "who is let in isn't given up at half its pace");
assertRelation(l.ackIntervalMs <= l.ackIntervalMsMax, "a busy receiver acknowledges no sooner");
assertRelation(l.flushAskedMsMax <= l.flushMsMax, "a receiver asks for what agents do");
assertRelation(l.flushMsMax < l.ackTimeoutMs, "a slow flush isn't taken for a dead receiver");
assertRelation(l.backoffBaseMs <= l.intervalMs, "back-off starts below the normal interval");
assertRelation(
  5 * l.knockMs <= l.postMsMin,
  "a proxy that keeps answers back delays a POST a little",
);
assertRelation(l.postMsMin <= l.postMsMax, "a POST's shortest time is below its longest");
assertRelation(l.statusOldMs >= 3 * l.statusOnFlashMs, "a status written late isn't taken for old");
assertRelation(l.rateGapMs > l.rateBurstMs / 2, "a bucket is half full before its gap is said");
assertRelation(l.flushBytes <= l.uploadFrameTextBytesMax, "a flush fits a frame");
assertRelation(8 * l.flushBytes <= l.spoolBytesMax, "several flushes fit the spool");
assertRelation(16 * l.flushBytes <= l.diskSpoolBytesMin, "a flush fits a disk spool's segment");
assertRelation(4 * l.rawLineBytesMax < l.diskSpoolBytesMin / 2, "an escaped line fits half of it");
assertRelation(l.diskSpoolBytesMin <= l.diskQueueBytesMax, "a disk spool may be as it comes");
assertRelation(
  l.pstoreFilesMax <= l.pstoreRememberedMax,
  "no dump that is looked at is forgotten",
);
assertRelation(l.liveStreamsMax + l.bulkStreamsMax < 20_000, "streams fit the open files");
assertRelation(l.bulkBytes < l.liveBurstBytes, "a backlog that agents send live is taken live");
assertRelation(l.postMsMax < l.streamAgeMs, "an agent's POST ends before the receiver ends it");
assertRelation(l.filesMax < l.deviceStreamsMax, "one agent's sources fit a device's streams");
assertRelation(
  l.uploadFrameBytesMax < l.deviceHeldBytesMax && l.rawLineBytesMax < l.deviceHeldBytesMax,
  "a whole frame fits what a device may have unfinished",
);
assertRelation(l.blockMsMax < l.readIdleMs, "a dribbling stream isn't taken for an idle one");

assertRelation(
  l.archiveRunMsMax < l.archiveGarbageMs,
  "what a run still needs isn't taken for garbage",
);
assertRelation(
  2 * l.epochSilentMs <= l.archiveDeadMs && 2 * l.segmentAgeMsMax <= l.archiveDeadMs,
  "a segment that is archived unclosed isn't written any more",
);

const usual = receiverBudget(l.receiverMemoryBytes);
for (const devices of [0, 100_000]) {
  const budget = receiverBudget(l.receiverMemoryBytes, devices);
  assertRelation(
    l.receiverBaseBytes + devices * l.allowListDeviceBytes +
        budget.liveStreams * l.liveStreamBytes + budget.bulkStreams * l.bulkStreamBytes +
        (budget.liveBytes + budget.bulkBytes) * l.bytesPerByteInFlight <= l.receiverMemoryBytes,
    `what a receiver of ${devices} devices takes at a time fits its memory`,
  );
}
assertRelation(l.clockDoubtMs > l.flushMsMax, "what a receiver made wait isn't doubtful");
assertRelation(l.clockDoubtWaitMs > l.heartbeatMs, "a clock record comes while a record waits");
assertRelation(
  receiverBudget(l.receiverMemoryBytes, 10_000).liveStreams >= 10_000,
  "ten thousand devices, all of them live, fit the usual memory",
);
assertRelation(
  l.s3CommitsMax * l.s3BatchTextBytes <= usual.liveBytes + usual.bulkBytes,
  "parallel commits to S3 fill up within the usual memory",
);
assertRelation(
  l.epochSilentMs >= 2 * l.readIdleMs,
  "an epoch with idle streams isn't taken for dead",
);
assertRelation(l.literalBytesMin >= 5, "a literal has a gram in every way to stand");
assertRelation(2 * l.epochSilentMs <= l.keepMsMin, "an epoch with old segments only is silent");
assertRelation(2 * l.segmentAgeMsMax <= l.keepMsMin, "a live receiver has closed old segments");
