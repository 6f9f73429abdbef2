/**
 * Every limit of the system, each with its unit (bytes unless the name says otherwise) and its
 * reason; the relations between them are asserted when this module is loaded.
 */
const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  // --- frames and lines -------------------------------------------------------------------------
  /** Text in one frame of a segment: decoding cost levels off at 1 MiB, memory per reader doesn't. */
  frameTextBytesMax: 1 * MiB,
  /** A `#1` line: four names of at most `nameBytesMax` and four numbers of at most 20 digits. */
  headerBytesMax: 1 * KiB,
  /** A device, boot, source or stream name. */
  nameBytesMax: 128,
  /** Text in one frame of an upload: with its `#1` line it must still fit a segment's frame. */
  uploadFrameTextBytesMax: 1 * MiB - 1 * KiB,
  /** The same, compressed: zstd's worst case is the text and 1/256 of it, and headers. */
  uploadFrameBytesMax: 1 * MiB + 8 * KiB,
  /** A line of a raw upload; a longer one is cut into lines of this size. Picked from the air. */
  rawLineBytesMax: 64 * KiB,
  /** One raw upload, decoded: `dmesg` of the largest ring, many times over; stops gzip bombs. */
  rawBodyBytesMax: 256 * MiB,
  /** The Authorization header: a token with its key is some 400 bytes. */
  tokenBytesMax: 4 * KiB,

  // --- segments ---------------------------------------------------------------------------------
  /** A segment is closed at this size: the unit of archiving and deletion. */
  segmentBytesMax: 256 * MiB,
  /** ... or at this age, so that yesterday's can be archived even where little arrives. */
  segmentAgeMsMax: 10 * 60_000,
  /** An epoch without a commit for so long is dead: what lies behind its committed length is read. */
  epochSilentMs: 10 * 60_000,

  // --- receiver ---------------------------------------------------------------------------------
  /** Open live streams: 11 KiB each, and the usual limit of open files is 20,000. */
  liveStreamsMax: 16_000,
  /** Open bulk streams: one that stalls can hold 1.6 MiB in the runtime. */
  bulkStreamsMax: 64,
  /** Decoded text that waits for its commit, all streams together. */
  bytesInFlightMax: 64 * MiB,
  /** A commit smaller than `smallBatchBytes` waits so long for company after the last one. */
  companyMs: 8,
  /** Above this a batch is worth a sync of its own. */
  smallBatchBytes: 256 * KiB,
  /** At most one acknowledgement line per stream in this time: each costs some 20 microseconds. */
  ackIntervalMs: 1_000,
  /** A stream that sends nothing for so long is ended. Bun's own limit is 255 s. */
  readIdleMs: 100_000,
  /** Verified tokens that are remembered: one for each open stream and as many again. */
  tokensCachedMax: 32_000,
  /** Time for open streams to end at a graceful stop, before they are cut. */
  stopMs: 4_000,

  // --- agent ------------------------------------------------------------------------------------
  /** The normal interval between uploads; no back-off is ever longer (invariant 8). */
  intervalMs: 60_000,
  /** The first back-off; it doubles from here. */
  backoffBaseMs: 1_000,
  /** A POST that lived so long had reached somebody: when it breaks, back-off begins anew. */
  settledMs: 10_000,
  /** One POST lasts a random time between these: load balancers get their chance to move it. */
  postMsMin: 30_000,
  postMsMax: 90_000,
  /** Lines wait so long for company before they are sent, unless the receiver asks for more. */
  flushMs: 200,
  /** The most a receiver may ask for. */
  flushMsMax: 10_000,
  /** ... or until there is so much of them. */
  flushBytes: 64 * KiB,
  /** A clock sync record is sent at least so often: it is the heartbeat of an idle stream. */
  heartbeatMs: 30_000,
  /** Sent and not acknowledged for so long: the receiver is taken for dead. */
  ackTimeoutMs: 15_000,
  /** Memory of one stream for what isn't acknowledged: some 50 MB of text, a day's of one device. */
  spoolBytesMax: 8 * MiB,
  /** In an outage lines gather for so long: larger frames take half the room. */
  offlineFlushMs: 2_000,
  /** Text that waits when a POST begins; above it the POST is of mode `bulk`. */
  bulkBytes: 1 * MiB,
  /** After so long with another receiver the first of the list is tried again. */
  firstAgainMs: 5 * 60_000,
  /** After live mode failed, short POSTs are used for so long before live is tried again. */
  shortPostsMs: 10 * 60_000,
  /** A batch that is refused so often is set aside, so that it can't block all behind it. */
  refusalsMax: 10,
  /** A capped source may say so much at once: a program that starts, a driver that resets. */
  rateBurstMs: 10_000,
  /** Dropped records wait so long for one that passes, before their gap is said without one. */
  rateGapMs: 10_000,
  /** The agent's status is written so often, where that is on tmpfs, */
  statusMs: 10_000,
  /** ... and where it is on flash. */
  statusOnFlashMs: 60_000,
  /** A status older than this is of an agent that doesn't run any more, or hangs. */
  statusOldMs: 180_000,
  /** One read from /dev/kmsg: the kernel skips a record that doesn't fit. */
  kmsgReadBytes: 8 * KiB,
  /** Dumps of dead boots read at one start: some ramoops regions of the usual 1 MiB. */
  pstoreBytesMax: 16 * MiB,
  /** Dumps that are looked at, the newest; a crash loop under systemd leaves them all. */
  pstoreFilesMax: 1_000,
  /** Dumps that are remembered as shipped: those that are looked at, and as many that were. */
  pstoreRememberedMax: 2_000,
  /** Followed files: each may have a stream of its own. */
  filesMax: 64,
  /** One read from a followed file: a whole line of `rawLineBytesMax` always fits. */
  fileReadBytes: 128 * KiB,
  /** Lines taken from a file at a time: empty ones have no bytes that would bound them. */
  fileLinesMax: 1_000,
  /** Places in a file that are remembered until acknowledged; beyond it they get coarser. */
  filePlacesMax: 4_000,
  /** How often files are looked at for more. Picked from the air: it costs two system calls. */
  filePollMs: 250,
  /** A file that was rotated away may still be written to for so long, until its program reopens. */
  fileRotatedMs: 5_000,
  /** One message to the syslog socket: rsyslog's own limit; what is longer is cut by the kernel. */
  syslogMessageBytesMax: 8 * KiB,
  /** Messages that wait to be taken; beyond it they are counted and dropped: programs mustn't hang. */
  syslogQueueBytes: 1 * MiB,
  /** Open connections to the syslog socket, where it takes connections: each holds up to a message. */
  syslogConnectionsMax: 256,
  /** One segment of the disk queue: the unit of deletion. */
  diskQueueSegmentBytes: 1 * MiB,
  /** What the disk queue holds, unless told otherwise: two days of the article's 50 MB. */
  diskQueueBytesMax: 100 * MiB,
  /** Nothing could be sent for so long: what memory can't take goes to the disk, which may be flash. */
  diskSpoolAfterMs: 60_000,
  /** A disk that failed, or had no room, is tried again after so long. */
  diskSpoolRetryMs: 60_000,
  /** The least that a disk spool can do with: 16 segments, each of some appends. */
  diskSpoolBytesMin: 1 * MiB,
  /** Places in a spool that are remembered until acknowledged; beyond it they get coarser. */
  diskSpoolPlacesMax: 4_000,

  // --- grinder ----------------------------------------------------------------------------------
  /** Compressed bytes read from storage at a time. */
  readBytes: 8 * MiB,
  /** Text in one transaction: bounds what a crash makes us read again, and memory. */
  batchTextBytesMax: 64 * MiB,
  /** Nothing is written for so long: look at the storage even without a word from its watch. */
  pollMs: 1_000,
  /** Seen intervals per stream; beyond it the oldest holes are closed: what still comes is a repetition. */
  intervalsMax: 10_000,
  /** Streams whose seen intervals are kept in memory; the others are read back when needed. */
  streamsCachedMax: 200_000,
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
  4 * l.nameBytesMax + 4 * 20 + 16 <= l.headerBytesMax,
  "the longest names and numbers fit a header line",
);
assertRelation(
  l.uploadFrameTextBytesMax + (l.uploadFrameTextBytesMax >> 8) + 512 <= l.uploadFrameBytesMax,
  "incompressible text fits a compressed frame",
);
assertRelation(l.rawLineBytesMax * 2 <= l.uploadFrameTextBytesMax, "raw lines fit a frame");
assertRelation(l.rawLineBytesMax < l.fileReadBytes, "a line of a file fits one read");
assertRelation(l.frameTextBytesMax < l.bytesInFlightMax, "one frame fits the bytes in flight");
assertRelation(l.readIdleMs >= 3 * l.heartbeatMs, "read-idle is at least three heartbeats");
assertRelation(l.readIdleMs < 255_000, "read-idle is within what Bun can time");
assertRelation(l.ackTimeoutMs >= 5 * l.ackIntervalMs, "several acknowledgements fit its time-out");
assertRelation(l.flushMsMax < l.ackTimeoutMs, "a slow flush isn't taken for a dead receiver");
assertRelation(l.backoffBaseMs <= l.intervalMs, "back-off starts below the normal interval");
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
assertRelation(
  l.epochSilentMs >= 2 * l.readIdleMs,
  "an epoch with idle streams isn't taken for dead",
);
