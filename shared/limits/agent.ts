/** Limits of the agent. */
import { KiB, MiB } from "./units.ts";

export const agentLimits = {
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
} as const;
