/** Limits of the receiver, and of the allow-list. */
import { KiB, MiB } from "./units.ts";

export const receiverLimits = {
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

  // --- allow-list --------------------------------------------------------------------------------
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
} as const;
