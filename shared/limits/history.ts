/** Limits of what reads and rewrites history: grinding again, index, narrative, grep, SQL, archive. */
import { KiB, MiB } from "./units.ts";

export const historyLimits = {
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

  // --- archive -----------------------------------------------------------------------------------
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
