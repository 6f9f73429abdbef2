/** Every source there is, through the suite that all of them pass. */
import { Buffer } from "node:buffer";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../shared/limits.ts";
import type { LogRecord } from "../shared/record.ts";
import { FakeClock, ordinary, TemporaryFolder } from "../tests/fixtures.ts";
import { DiskQueue } from "./disk_queue.ts";
import { DiskSpool } from "./disk_spool.ts";
import { FileCheckpoint } from "./files/file_checkpoint.ts";
import { FileSource } from "./files/file_source.ts";
import { headBytesMax, printOf, tailBytesMax } from "./files/print.ts";
import { openFile } from "./files/rotated.ts";
import { KmsgSource } from "./kmsg.ts";
import { LinesSource } from "./lines.ts";
import { OldBoot } from "./old_boot.ts";
import { parseDump } from "./pstore/dump.ts";
import { PstoreTail } from "./pstore/pstore.ts";
import { QueuedStreams } from "./queue_source.ts";
import { RateCap } from "./rate_cap.ts";
import { escapeBytes } from "./raw_lines.ts";
import type { Ring, RingRead } from "./ring.ts";
import { type OpenedSource, sourceContract } from "./source_contract.ts";
import { SpoolQueue } from "./spool_queue.ts";
import { openSyslog } from "./syslog.ts";

const boot = "0d8f6f5e-4c3b-4a29-9a18-7f6e5d4c3b2a";
const nowUs = () => 7_000_000;

/** What one read of /dev/kmsg gives of a line: at most 2,048 bytes, which may end within an escape. */
function kernelRecord(seq: number, line: Buffer): string {
  const text = escapeBytes(line.subarray(0, 2_048));
  return `6,${seq},${seq * 1_000},-,caller=T1;${text}\n SUBSYSTEM=usb\n`.slice(0, 2_048);
}

class FakeRing implements Ring {
  readonly reads: RingRead[] = [];
  #seq: number;

  constructor(firstSeq = 0) {
    this.#seq = firstSeq;
  }

  write(lines: Buffer[]): this {
    for (const line of lines) {
      this.reads.push({ kind: "record", text: kernelRecord(this.#seq++, line) });
    }
    return this;
  }

  /** So many records are overwritten, or stepped over, or can't be read. */
  lose(count: number, kind: "overrun" | "skipped" | "record" = "overrun"): this {
    this.#seq += count;
    this.reads.push(kind === "record" ? { kind, text: "nonsense\n" } : { kind });
    return this;
  }

  next(): RingRead {
    return this.reads.shift() ?? { kind: "empty" };
  }

  oldestSeq(): number {
    return this.#seq - this.reads.length;
  }

  close(): void {}
}

const some = (count: number) => Array.from({ length: count }, (_, i) => Buffer.from(`some ${i}`));
const withHoles = () =>
  new FakeRing().lose(4).write(some(20)).lose(3).write(some(1)).lose(1, "skipped").write(some(30))
    .lose(1, "record").write(some(2));

function kmsg(ring: FakeRing, firstSeq: number): OpenedSource & { source: KmsgSource } {
  const clock = new FakeClock();
  const position = { boot, stream: boot, seq: firstSeq - 1, hash: "" };
  const options = { ring, boot, position, clock: { observe: () => {} }, sleep: clock.sleep };
  const give = (lines: Buffer[]) => void ring.write(lines);
  return { source: new KmsgSource(options), clock, firstSeq, give, keepsUnread: false };
}

sourceContract("the kernel's ring", {
  // Five were acknowledged before.
  open: (lines) => kmsg(new FakeRing().write(some(5)).write(lines), 5),
  openWithHoles: () => kmsg(withHoles(), 2),
});

sourceContract("standard input", {
  open(lines) {
    const clock = new FakeClock();
    let give!: (lines: Buffer[]) => void;
    const input = new ReadableStream<Uint8Array>({
      start(controller) {
        give = (more) => {
          // In chunks that end anywhere.
          const bytes = Buffer.concat(more.flatMap((line) => [line, Buffer.from("\n")]));
          for (let at = 0; at < bytes.length; at += 60_000) {
            controller.enqueue(bytes.subarray(at, at + 60_000));
          }
        };
      },
    });
    give(lines);
    const { sleep } = clock;
    const source = new LinesSource({ source: "app:demo", boot, input, nowUs, sleep });
    return { source, clock, firstSeq: 0, give, keepsUnread: false };
  },
});

class NoCheckpoint extends FileCheckpoint {
  constructor() {
    super("/nowhere");
  }

  override save(): Promise<void> {
    return Promise.resolve();
  }
}

/** A file whose first lines are acknowledged. */
function followed(lines: Buffer[], isThere = true): OpenedSource {
  const folder = new TemporaryFolder();
  const path = join(folder.path, "app.log");
  const before = Buffer.from("acknowledged\n".repeat(300));
  writeFileSync(path, before);
  const clock = new FakeClock();
  const give = (more: Buffer[]) => {
    for (const line of more) appendFileSync(path, Buffer.concat([line, Buffer.from("\n")]));
  };
  give(lines);
  const source = new FileSource({
    ...{ source: "file:app.log", boot, nowUs, checkpoint: new NoCheckpoint() },
    file: isThere ? openFile(path) : undefined,
    position: {
      ...{ path, stream: "5f3a", inode: "1", nextSeq: 300, offset: before.length, ended: false },
      head: printOf(before.subarray(0, headBytesMax)),
      tail: printOf(before.subarray(-tailBytesMax)),
      mtimeMs: 0,
    },
    monotonicMs: clock.monotonicMs,
    sleep: clock.sleep,
  });
  const cleanup = () => folder[Symbol.dispose]();
  return { source, clock, firstSeq: 300, give, keepsUnread: true, cleanup };
}

sourceContract("a followed file", {
  open: (lines) => followed(lines),
  openWithHoles: () => followed([], false),
});

async function syslog(lines: Buffer[]): Promise<OpenedSource> {
  const clock = new FakeClock();
  const waiting: Buffer[] = [];
  const give = (more: Buffer[]) => {
    // The kernel cuts off what the receiver's buffer doesn't hold.
    waiting.push(...more.map((line) => line.subarray(0, limits.syslogMessageBytesMax)));
  };
  give(lines);
  const source = await openSyslog({
    ...{ path: "/dev/log", boot, nowUs, sleep: clock.sleep, report: () => {} },
    open: () => Promise.resolve({ next: () => waiting.shift(), close: () => {} }),
  });
  return { source, clock, firstSeq: 0, give, keepsUnread: false };
}

sourceContract("the syslog socket", {
  open: syslog,
  openWithHoles: () => syslog([...Array<Buffer>(200).fill(Buffer.alloc(8_000, "x")), ...some(3)]),
});

sourceContract("a dead boot's dump", {
  open(lines) {
    const prefix = Buffer.from("<6>[    5.000000][    T1] ");
    const bytes = Buffer.concat(lines.flatMap((line) => [prefix, line, Buffer.from("\n")]));
    const dump = parseDump("dmesg", Buffer.concat([Buffer.from("Panic#1 Part1\n"), bytes]));
    const source = new PstoreTail(boot, "pstore-0a1b", dump.lines, () => {});
    return { source, clock: new FakeClock(), firstSeq: 0, keepsUnread: true };
  },
});

/** What stands in a ring before the current boot's records. */
function oldBoot(ring: FakeRing, last: number): OpenedSource {
  const names = { boot, stream: "ring-0a1b", flag: "p" };
  const source = new OldBoot({ ...names, ring: ring.write(some(3)), first: 2, last, shift: 40 });
  return { source, clock: new FakeClock(), firstSeq: 42, keepsUnread: true };
}

sourceContract("an old boot in the ring", {
  open: (lines) => oldBoot(new FakeRing().write(some(2)).write(lines), lines.length + 1),
  openWithHoles: () => oldBoot(withHoles(), 60),
});

async function spooled(opened: OpenedSource, offlineMs = 0, eager = false): Promise<OpenedSource> {
  const { source, clock } = opened;
  const folder = new TemporaryFolder();
  const queue = await SpoolQueue.open(folder.path, { eager });
  const spool = new DiskSpool(source, { queue, clock, eager });
  // Memory is full since then.
  if (!eager) spool.safe(offlineMs);
  const cleanup = async () => {
    await clock.advance(60_000);
    await queue[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  };
  return { ...opened, source: spool, cleanup };
}

/** Records as another run, or omprog, left them. */
async function queued(records: LogRecord[]): Promise<OpenedSource> {
  const folder = new TemporaryFolder();
  const queue = await DiskQueue.open(folder.path, { bytesMax: 1e9 });
  const names = { boot, source: "app:rsyslog", stream: "77aa" };
  for (const record of records) await queue.append([{ names, records: [record] }]);
  const streams = new QueuedStreams(queue);
  const source = (await streams.next())!;
  const cleanup = async () => {
    await queue[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  };
  return { source, clock: new FakeClock(), firstSeq: 3, keepsUnread: true, cleanup };
}

function capped(opened: OpenedSource, bytesPerSecond: number): OpenedSource {
  const { source, clock } = opened;
  return { ...opened, source: new RateCap(source, { bytesPerSecond, clock }) };
}

sourceContract("a source with a disk spool", {
  open: (lines) => spooled(kmsg(new FakeRing(5).write(lines), 5)),
  openWithHoles: () => spooled(kmsg(withHoles(), 2)),
});

sourceContract("a source whose records go over the disk", {
  open: (lines) => spooled(kmsg(new FakeRing(5).write(lines), 5), Infinity),
  openWithHoles: () => spooled(kmsg(withHoles(), 2), Infinity),
});

sourceContract("a source with an eager spool", {
  open: (lines) => spooled(kmsg(new FakeRing(5).write(lines), 5), 0, true),
  openWithHoles: () => spooled(kmsg(withHoles(), 2), 0, true),
});

sourceContract("a stream in the disk queue", {
  open: (lines) =>
    queued(
      lines.map((line, i) =>
        ordinary(3 + i, escapeBytes(line.subarray(0, limits.rawLineBytesMax)))
      ),
    ),
  openWithHoles: () => queued([3, 4, 7, 8, 20].map((seq) => ordinary(seq))),
});

sourceContract("a capped source", {
  open: (lines) => capped(kmsg(new FakeRing(5).write(lines), 5), 1e9),
  openWithHoles: () => capped(kmsg(withHoles(), 2), 30),
});
