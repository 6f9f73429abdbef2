/** Limits of what is stored: frames, lines, segments, and where these are. */
import { KiB, MiB } from "./units.ts";

export const storedLimits = {
  // --- frames and lines --------------------------------------------------------------------------
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

  // --- segments ----------------------------------------------------------------------------------
  /** A segment is closed at this size: the unit of archiving and deletion. */
  segmentBytesMax: 256 * MiB,
  /** ... or at this age, so that yesterday's can be archived even where little arrives. */
  segmentAgeMsMax: 10 * 60_000,
  /** An epoch without a commit for so long is dead: what lies behind its committed length is read. */
  epochSilentMs: 10 * 60_000,

  // --- S3 ----------------------------------------------------------------------------------------
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
} as const;
