/** Limits of the grinder. */
import { KiB, MiB } from "./units.ts";

export const grinderLimits = {
  /** Compressed bytes read from storage at a time. */
  readBytes: 8 * MiB,
  /** Text in one transaction: bounds what a crash makes us read again, and memory. */
  batchTextBytesMax: 64 * MiB,
  /**
   * Frames on their way to and from other threads: what those do while a batch is committed. A power of
   * two. Memory is taken only as far as frames and digests are large.
   */
  frameSlots: 64,
  /** A frame's digest, where it comes from another thread; that of a frame full of matches is larger. */
  digestBytesMax: 2 * MiB,
  /** Nothing is written for so long: look at the storage even without a word from its watch. */
  pollMs: 1_000,
  /** Seen intervals per stream; beyond it the oldest holes are closed: what still comes is a repetition. */
  intervalsMax: 10_000,
  /** Streams whose seen intervals are kept in memory; the others are read back when needed. */
  streamsCachedMax: 200_000,
  /** Changes of streams that are in the journal only: a stream's own row is saved once in so many. */
  journalBytesMax: 64 * MiB,
  /** A stream of which nothing has been heard for so long is forgotten. Picked from the air. */
  streamAgeMsMax: 90 * 86_400_000,
  /** Such streams are looked for so often: all of them are looked at. */
  sweepMs: 3_600_000,
  /** Boots whose clock fit is kept in memory; two for each device of the article's fleet. */
  bootsCachedMax: 200_000,
  /**
   * Frames of a boot's newest records that are remembered, in case the boot dies: what a receiver stored
   * and the agent doesn't know to be acknowledged is at most some seconds of 200 ms each.
   */
  tailFramesMax: 32,
  /** Last words that come later after a boot's last upload may be counted twice. Picked from the air. */
  tailMsMax: 30 * 86_400_000,
  /** Distinct lines in the last words of one boot: the largest ring has fewer. */
  recoveredLinesMax: 100_000,
  /** Boots whose last words are kept in memory; each may have thousands of lines. */
  recoveredBootsCachedMax: 100,
  /** Open aggregates that are kept in memory between two commits; the others are read back. */
  aggregatesCachedMax: 100_000,
  /** What an event takes up beside its record's text until it is committed. */
  eventBytes: 500,
  /** An event-time window is closed so long after its end. */
  latenessMs: 10_000,
  /** A record later than this changes no aggregate; it is only counted. */
  lateMsMax: 7 * 86_400_000,
  /** Distinct label sets for one rule in one window; the rest is counted as `other`. */
  labelSetsMax: 1_000,
  /** Distinct devices counted exactly in one window; beyond it the count is marked as capped. */
  devicesExactMax: 10_000,
  /** Characters of a label's value: labels are names, not texts. */
  labelCharsMax: 200,
  /** Knots of one boot's clock fit; beyond it the least needed goes, and its error is kept. */
  clockKnotsMax: 32,
  /** Knots stand so far apart where nothing else tells them apart: drift is even for so long. */
  clockKnotMs: 10 * 60_000,
  /** Records of a boot whose clock isn't known yet wait so long for it, from the boot's first block. */
  clockWaitMs: 3 * 60_000,
  /** A record that came so late may be of before or after a suspend: it waits for a clock record. */
  clockDoubtMs: 12_000,
  /** ... and so long: a clock record comes at least each `heartbeatMs`. */
  clockDoubtWaitMs: 60_000,
  /** Steps of one boot's clock that are said: one that jumps back and forth says nothing new. */
  clockStepsMax: 100,
  /** What is known of a boot's clock is kept so long after its last change. Picked from the air. */
  clockAgeMsMax: 90 * 86_400_000,
  /** Events that wait for their boot's clock: of one boot, */
  waitingOfBootMax: 1_000,
  /** ... and of all; beyond either the oldest are given the time that is known. */
  waitingMax: 100_000,
  /** Devices whose clock a receiver's is compared with: the median of so many hardly moves. */
  receiverSamplesMax: 64,
  /** ... and at least so many: of fewer, most may be wrong. */
  receiverSamplesMin: 5,
  /** Devices that are watched for silence; some 130 bytes each. */
  watchedDevicesMax: 1_000_000,
  /** Devices are looked through for silent ones so often: a hundred thousand take a millisecond. */
  silenceLookMs: 10_000,
  /** Silences of one device that wait for all that is stored to have been read. */
  silencesMax: 64,
  /** Outages of one receiver that are remembered: more than one a day, in 60 days. */
  receiverOutagesMax: 64,
  /** Boots of one device that are remembered; beyond it what is still to be said of the oldest is. */
  deviceBootsMax: 16,
  /** A line of JSON or logfmt longer than this isn't parsed: one with deep nesting costs time and memory. */
  structuredCharsMax: 64 * KiB,
  /** A record is stamped before it gets its seq, and others may come in between: by no more than that. */
  kernelDisorderMs: 1_000,
  /** Within an epoch receive times go back by no more: commits hold many streams, clocks are corrected. */
  recvDisorderMs: 60_000,
} as const;
