import { afterAll, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { KmsgSource } from "../agent/kmsg.ts";
import { openRing } from "../agent/ring.ts";
import { type LogRecord, parseGap } from "../shared/record.ts";
import { kmsgUnusable } from "./crash/kmsg_writer.ts";

const unusable = kmsgUnusable();
if (unusable) console.log(`the kernel's ring isn't overrun here: ${unusable}`);

const rateLimitPath = "/proc/sys/kernel/printk_devkmsg";
/** The ring is 16 MiB at most on what this is run on; usually it is 128 KiB. */
const bytesMax = 64 * 1024 * 1024;
const line = `<14>overrun-test: ${"x".repeat(900)}\n`;

test.skipIf(unusable !== undefined)(
  "an overrun of the real ring leaves a gap that counts exactly the missing seqs",
  async () => {
    const rateLimit = readFileSync(rateLimitPath, "utf8");
    afterAll(() => writeFileSync(rateLimitPath, rateLimit));
    writeFileSync(rateLimitPath, "on\n");
    const ring = openRing();
    const sleep = () => Promise.resolve();
    const source = new KmsgSource({ ring, boot: "b", clock: { observe: () => {} }, sleep });

    // To the end of what is there, and then no more until the ring has gone round.
    const before = await readToEnd(source, ring);
    const lastRead = before.at(-1)!.seq;
    const fd = openSync("/dev/kmsg", "w");
    for (let bytes = 0; bytes < bytesMax; bytes += line.length) {
      writeSync(fd, line);
      if (ring.oldestSeq()! > lastRead + 100) break;
    }
    closeSync(fd);
    expect(ring.oldestSeq()!).toBeGreaterThan(lastRead + 100);

    const after = await readToEnd(source, ring);
    const [gap, first] = after as [LogRecord, LogRecord];
    expect([gap.flag, first.flag]).toEqual(["g", "-"]);
    const missing = first.seq - lastRead - 1;
    expect(missing).toBeGreaterThanOrEqual(100);
    expect(parseGap(gap)).toEqual({
      first: lastRead + 1,
      last: first.seq - 1,
      count: missing,
      cause: "overrun",
    });
    ring.close();
  },
  60_000,
);

/** What the source gives until its ring is empty for now. */
async function readToEnd(source: KmsgSource, ring: ReturnType<typeof openRing>) {
  const records: LogRecord[] = [];
  const next = ring.next;
  let empty = false;
  ring.next = () => {
    const read = next();
    if (read.kind === "empty") empty = true;
    return read;
  };
  while (!empty) records.push(...(await source.read())!);
  ring.next = next;
  return records;
}
