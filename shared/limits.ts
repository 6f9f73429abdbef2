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
  /**
   * With so much it is whole: the next can be filled while this one is compressed, and its memory is
   * half full at least. 1 MiB compresses by 0.5 % more, and no faster.
   */
  frameTextBytesEnough: 512 * KiB,
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

  // --- S3 ---------------------------------------------------------------------------------------
  /** One object: large enough that requests cost little, small enough to be sent again. */
  s3ObjectBytesMax: 8 * MiB,
  /** A commit waits so long for company, unless told otherwise: each costs a PUT. */
  s3IntervalMs: 500,
  /** ... or until there is so much text: some 3 MiB, compressed. */
  s3BatchTextBytes: 16 * MiB,
  /** Commits at a time: at a PUT of 300 ms that is more than the text of the article's peak. */
  s3CommitsMax: 4,
  /** PUTs at a time, each of at most one object: bounds memory. */
  s3PutsMax: 4,
  /** Listings at a time. Picked from the air. */
  s3ListsMax: 8,
  /** Connections to the server: PUTs, listings, and some reads. */
  s3SocketsMax: 16,
  /** One try of a request: an object of 8 MiB at 0.8 MB/s. */
  s3TryMs: 10_000,
  /** All tries of a request: its device hears that it failed before it takes us for dead. */
  s3RequestMs: 14_000,
  /** Between tries. */
  s3Backoff: { baseMs: 100, capMs: 2_000 },
  /** At start: another server may be starting as well. */
  s3StartMs: 5_000,
  /** Numbers with 8 digits, whose order is that of their names: a year and a half at two a second. */
  s3ObjectsMax: 100_000_000,
  /** What is closed is said in `committed` so often: for who reads what retention has left. */
  s3CommittedMs: 60_000,
  /** An epoch that has been silent for `epochSilentMs` is looked at so often. */
  s3QuietMs: 30_000,
  /** The file `committed` is begun anew at this size: readers read all of it. One page. */
  committedBytesMax: 4 * KiB,
  /** Receivers leave so much of a folder's disk free: for the grinder, and for tidying up, */
  reserveBytes: 256 * MiB,
  /** ... or one part in so many of a small disk. */
  reserveShare: 20,
  /** What is written to see whether the disk takes writes again: a few blocks. */
  probeBytes: 64 * KiB,
  /** ... while at least one part in so many of the reserve is free beyond it. */
  probeShare: 8,
  /** The shortest time that segments are kept: a segment of that age isn't open any more. */
  keepMsMin: 60 * 60_000,
  /** Old segments are looked for so often. */
  retentionPassMs: 60_000,
  /** Segments that one pass of the retention deletes at most; the next pass goes on. */
  deletedSegmentsMax: 1_000,
  /** A reader says so often how far it has come. */
  cursorNoteMs: 10_000,
  /** A reader that hasn't said so for so long doesn't keep old segments from being deleted. */
  cursorAgeMsMax: 7 * 86_400_000,

  // --- receiver ---------------------------------------------------------------------------------
  /** The receiver's memory, unless told otherwise; `receiverBudget` below divides it up. */
  receiverMemoryBytes: 512 * MiB,
  /** What the program takes before anybody is connected or known, measured: 55 to 70 MiB. */
  receiverBaseBytes: 80 * MiB,
  /** A device on the allow-list, measured: what is left behind when the list was read again is in it. */
  allowListDeviceBytes: 832,
  /** An open live stream, measured: 13 KiB are the runtime's, the rest is ours. */
  liveStreamBytes: 20 * KiB,
  /** A bulk stream that stalls can hold so much in the runtime, measured. */
  bulkStreamBytes: 1.6 * MiB,
  /** Text in flight is there once, joined into frames; they may not be full, and are compressed. */
  bytesPerByteInFlight: 1.5,
  /** More would need more open files than the usual limit of 20,000. */
  liveStreamsMax: 16_000,
  /** Beyond so many bulk streams each is only slower. Picked from the air. */
  bulkStreamsMax: 256,
  /** Streams of which nothing is durable yet: as many as get on within so long, for agents wait 15 s, */
  startingMs: 6_000,
  /** ... at least so many: a thousand clients may begin at once, and get on before agents give up at 80/s, */
  startingStreamsMin: 1_200,
  /** ... and at most so many. */
  startingStreamsMax: 4_000,
  /**
   * Where live slots are wanted that aren't there, the oldest streams make room: at most one in so many
   * each second, so that a stream lasts some 16 s then.
   */
  turnShare: 16,
  /** One device's streams: `filesMax` of the agent, and its other sources. */
  deviceStreamsMax: 96,
  /** Bytes of one device's blocks that aren't whole: else it could take all room by saying nothing. */
  deviceHeldBytesMax: 4 * MiB,
  /** A live stream may send so much at a time, */
  liveBurstBytes: 4 * MiB,
  /** ... and so many bytes a second: more is a backlog, and belongs into a bulk stream. */
  liveBytesPerSec: 256 * KiB,
  /** A bulk stream is slowed to so many bytes a second, unless told otherwise. */
  bulkBytesPerSec: 8 * MiB,
  /** A block must be whole so soon after its first byte: 1 MiB at 70 kbit/s, compressed. */
  blockMsMax: 30_000,
  /** A body of a stated length up to this is read whole: a third less work than a stream. */
  shortBodyBytesMax: 64 * KiB,
  /** A live stream is ended at an age between this and twice as much; an agent ends it sooner. */
  streamAgeMs: 5 * 60_000,
  /** Answers between two that close their connection: 8 POSTs of an agent are some 8 minutes. */
  answersPerConnection: 8,
  /** Blocks that wait longer for their commit say that the storage is slow: fewer may start. */
  slowCommitMs: 1_000,
  /** A storage that takes no writes is asked again so often. */
  probeMs: 1_000,
  /** Rates of streams that are let in, and that get on, are of about so long ago: a flood comes in seconds. */
  drainMs: 3_000,
  /**
   * Of those who were refused at least so many may come back each second. A try costs 35 us over plain
   * HTTP; over TLS it is a handshake, some 1.5 ms.
   */
  returnsPerSecMin: 200,
  /** The longest flush time that a receiver asks for: larger frames save little and take memory. */
  flushAskedMsMax: 4_000,
  /** When room is short the newest live streams are ended, at most so often, */
  shedMs: 20,
  /** ... and one in so many of them. */
  shedShare: 64,
  /** A commit smaller than `smallBatchBytes` waits so long for company after the last one. */
  companyMs: 8,
  /** Above this a batch is worth a sync of its own: 64 clients that send 30 KiB each never have 1 MiB waiting. */
  smallBatchBytes: 512 * KiB,
  /** At most one acknowledgement line per stream in this time: each costs some 20 microseconds. */
  ackIntervalMs: 1_000,
  /** ... and a busy receiver's are no further apart than this. */
  ackIntervalMsMax: 4_000,
  /** A stream that sends nothing for so long is ended. Bun's own limit is 255 s. */
  readIdleMs: 100_000,
  /** The receiver looks at its own load, and for streams that dribble, so often. */
  receiverLookMs: 1_000,
  /** ... and whether a segment has grown old without traffic. */
  segmentRollMs: 30_000,
  /** The allow-list is looked at so often: who is shut out is cut off within a second. */
  allowListLookMs: 500,
  /** Verified tokens that are remembered: one for each open stream and as many again. */
  tokensCachedMax: 32_000,
  /** A certificate in a proxy's header: one of a 4,096-bit RSA key is 2 to 3 KB, URL-encoded. */
  clientCertificateBytesMax: 8 * KiB,
  /** Certificates whose key is remembered: one for each open stream and as many again. */
  clientCertificatesCachedMax: 32_000,
  /** Time for open streams to end at a graceful stop, before they are cut. */
  stopMs: 4_000,
  /** The certificate's files are read so often: whoever renews one has days. Picked from the air. */
  tlsLookMs: 2_000,

  // --- allow-list -------------------------------------------------------------------------------
  /** The allow-list's text: 100,000 devices with some labels are 10 MB; beyond this it isn't one. */
  listBytesMax: 256 * MiB,
  /** A long list is read in slices of so long: live streams go on in between. */
  listSliceMs: 5,
  /** An edit that others' edits get ahead of is made again so often; one of them wins each time. */
  listEditsMax: 50,
  /** A bucket that doesn't give or take a list within so long counts as out of reach. */
  listRequestMs: 10_000,
  /** Keys that knocked without being on the list; beyond it some are forgotten, and counted. */
  knocksMax: 1_000,
  /** Knocks are saved at most so often: a device that isn't let in knocks every minute. */
  knocksSaveMs: 5_000,
  /** A key that hasn't knocked for so long isn't shown any more. Picked from the air. */
  knockAgeMsMax: 7 * 86_400_000,
  /** Receivers whose knocks are shown: dead ones leave theirs behind. */
  knockReceiversMax: 1_000,

  // --- agent ------------------------------------------------------------------------------------
  /** The normal interval between uploads; no back-off is ever longer (invariant 8). */
  intervalMs: 60_000,
  /** The first back-off; it doubles from here. */
  backoffBaseMs: 1_000,
  /** After a failure the receiver's answer is waited for before a backlog is sent, for so long. */
  knockMs: 5_000,
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
  /** Lines of one dump, each an object: as many as its bytes may hold of 80. The rest comes in large pieces. */
  pstoreLinesMax: 200_000,
  /** What a line costs in memory at least, whatever is in it. */
  pstoreLineBytesMin: 96,
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
  /** Grinding history begins so long before its range, for the sync records that say what the time is, */
  historyBeforeMs: 10 * 60_000,
  /** ... and reads so far behind it, unless told otherwise: devices that were offline send later. */
  historyLateMs: 86_400_000,
  /** A part of the index is written when it is of so much stored, compressed as it is, */
  indexPartBytes: 64 * MiB,
  /** ... or of so many blocks, which take memory until then, */
  indexPartBlocks: 1_000_000,
  /** ... or so old, if it is of so much: what isn't indexed yet is read as a whole; */
  indexPartMs: 5 * 60_000,
  indexPartBytesMin: 2 * MiB,
  /** ... or so old, whatever it is of. */
  indexPartMsMax: 3_600_000,
  /** Frames that the index points to and that are on their way from the storage at a time. */
  indexReads: 16,
  /** Frames that stand closer together are read at once: a request costs more than so many bytes. */
  indexGapBytes: 64 * KiB,
  /** A narrative begins to read so long before its range: two clock records of a live device, */
  narrativeBeforeMs: 2 * 60_000,
  /** ... and holds back what it has read for so long, by receive time: sources overtake each other. */
  narrativeHoldMs: 2 * 60_000,
  /** Lines of a boot that are remembered, in case they come again out of its memory: a ring has fewer. */
  narrativeLastLines: 20_000,
  /** Devices in one narrative: each is read on its own, so that one's outage doesn't stop the others. */
  narrativeDevicesMax: 64,
  /** A running grinder's state is copied at most so often until nothing was moved meanwhile. */
  ledgerCopiesMax: 20,
  /** Hot segments are sorted out for a query by hours of receiving: each hour has two files open. */
  sqlSpoolHours: 100,
  /** Of an archive in a bucket, for a query. */
  sqlFetchBytes: 8 * MiB,
  /** Rows after which a table's columns stay as wide as they are. */
  sqlTableRows: 1_000,
  /** It is said how far reading has come after each so much text: some seconds. */
  sqlToldBytes: 256 * MiB,
  /** Records before or behind each match that grep shows at most. Picked from the air. */
  grepContextMax: 1_000,
  /** Matches that wait for the records around them at a time; each holds those that are there already. */
  grepGroupsMax: 1_000,
  /** Places of blocks that grep remembers for them; beyond it, of each stream only the last ones. */
  grepBlocksMax: 500_000,
  /** Devices that grep looks for by the index; of more, all frames are read, on all cores. */
  grepIndexedDevicesMax: 64,
  /** Stretches between those that grep needn't read are fetched ahead, up to this size, as the index's are. */
  grepAheadBytes: 1 * MiB,
  /** Text in the frames of which it is noted together what can be in them: frames in between are joined. */
  gramTextBytes: 1 * MiB,
  /** Text on which rules are tried, unless told otherwise: some seconds. */
  rulesSampleBytes: 64 * MiB,
  /** ... taken at so many places, evenly over the time that is asked for. */
  rulesSamplePlaces: 64,
  /** Values of one label that are told apart when rules are tried; beyond it there are "more than". */
  rulesLabelValuesMax: 10_000,
  /** Events that are remembered so that a resent record isn't compared twice: twice as many at most. */
  rulesSeenMax: 500_000,
  /** Shorter literals have no whole gram in most places, and are in every second line anyway. */
  literalBytesMin: 5,
  /** What is longer is cut: it isn't any rarer. */
  literalBytesMax: 64,
  /** Texts that one place of a rule can have, all looked for: the cases of a word of seven letters. */
  literalsPerRuleMax: 128,
  /** Classes of so many characters, up to the digits, are tried: each makes so many literals of one. */
  literalClassesMax: [1, 4, 10],
  /** Log text on which it is measured what to look for: beyond it the choice stays the same. */
  sampleBytesMax: 2 * MiB,

  // --- archive ----------------------------------------------------------------------------------
  /** Partitions of devices, unless told otherwise when the archive is begun: a file a day each. */
  archivePartitions: 16,
  /** ... and at most: each has its files open while rows are sorted out. */
  archivePartitionsMax: 1_024,
  /** Compressed bytes of segments that one run takes at most: some GB of text on the local disk. */
  archiveRunBytes: 512 * MiB,
  /** DuckDB's memory, unless told otherwise; what doesn't fit is sorted on the disk. */
  archiveMemoryBytes: 1024 * MiB,
  /** Bytes of blocks that are sorted at a time, for a file of each hour; what is made of them takes as much again. */
  archiveSliceBytes: 256 * MiB,
  /** Records that are sorted at a time: some 60 bytes each, beside their blocks. */
  archiveSliceRows: 4_000_000,
  /** Of zstd, for files that are merged later: see bench/history/README.md for what others cost. */
  archiveLevel: 1,
  /** Archive files are merged to at most so much: DuckDB sorts that on the disk in a minute or two. */
  archiveFileBytesMax: 1024 * MiB,
  /** Files that one merge takes at most: it reads from all of them at a time. */
  archiveMergeFilesMax: 200,
  /** An hour's, a day's files are merged so long after its end: its segments are closed by then. */
  archiveMergeAfterMs: 30 * 60_000,
  /** What was replaced stays for so long: readers keep the manifest with which they began. */
  archiveGraceMs: 60 * 60_000,
  /** A run that took longer doesn't publish: what it wrote may be taken for garbage, */
  archiveRunMsMax: 3 * 60 * 60_000,
  /** ... which is what no manifest names at this age. */
  archiveGarbageMs: 6 * 60 * 60_000,
  /** One try of putting an archive file into a bucket: the largest at 2 MB/s. */
  archivePutMs: 10 * 60_000,
  /** An archiver's, as `nice` has it: it gets what others leave idle. */
  archivePriority: 15,
  /** A grinder's archiver that ended by itself is started again after so long, */
  archiveRestartMs: 60_000,
  /** ... and is killed if it hasn't ended so long after it was told to. */
  archiveStopMs: 5_000,
  /** A grinder's archiver looks so often for what is closed. */
  archiveEveryMs: 5 * 60_000,
  /** What is archived may be kept hot for so long at most: each manifest says what was archived when. */
  archiveKeepHotMsMax: 48 * 60 * 60_000,
  /** ... of which it keeps one for each such time, beyond the last hour. */
  archiveSwapMs: 30 * 60_000,
  /** A grinder deletes old outputs, and the index of what is gone, so often. */
  outputRetentionMs: 60 * 60_000,
  /** A segment that nobody closed is archived when the last in it was received so long ago. */
  archiveDeadMs: 60 * 60_000,
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

export interface ReceiverBudget {
  liveStreams: number;
  bulkStreams: number;
  /** Decoded text that waits for its commit, of live and of bulk streams. */
  liveBytes: number;
  bulkBytes: number;
}

/**
 * What a receiver of so much memory takes at a time: of what the program itself and the devices on its
 * allow-list leave, half is for live streams, a sixth for bulk streams, a sixth each for their text in
 * flight. Throws if it is too little to work with.
 */
export function receiverBudget(memoryBytes: number, devices = 0): ReceiverBudget {
  const ownBytes = l.receiverBaseBytes + devices * l.allowListDeviceBytes;
  const sixth = (memoryBytes - ownBytes) / 6;
  const budget = {
    liveStreams: Math.min(l.liveStreamsMax, Math.floor(3 * sixth / l.liveStreamBytes)),
    bulkStreams: Math.min(l.bulkStreamsMax, Math.floor(sixth / l.bulkStreamBytes)),
    liveBytes: Math.floor(sixth / l.bytesPerByteInFlight),
    bulkBytes: Math.floor(sixth / l.bytesPerByteInFlight),
  };
  if (budget.bulkStreams >= 1 && budget.liveBytes >= 4 * l.frameTextBytesMax) return budget;
  const needBytes = ownBytes + 6 * 4 * l.frameTextBytesMax * l.bytesPerByteInFlight;
  throw new RangeError(
    `Cannot divide up memory because it must be at least ${Math.ceil(needBytes / MiB)} MiB: ` +
      `current value is ${Math.floor(memoryBytes / MiB)} MiB`,
  );
}

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
