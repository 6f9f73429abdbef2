/**
 * `agent omprog`: what rsyslog's external output starts. Messages on standard input go into a queue on
 * disk, are confirmed on standard output when they are durable there, and go on to a receiver.
 *
 *     template(name="logmill" type="string"
 *              string="<%PRI%>%syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n")
 *     action(type="omprog" binary="/usr/bin/logmill-agent omprog" template="logmill"
 *            confirmMessages="on" confirmTimeout="30000" forceSingleInstance="on"
 *            action.resumeRetryCount="-1" action.resumeInterval="5")
 *
 * A message that was made durable right before a kill, and not confirmed, comes again from rsyslog,
 * which has no number for it: it is there twice then, but never not at all.
 */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import process from "node:process";
import { isName } from "../shared/block.ts";
import { loadIdentity } from "../shared/identity.ts";
import { limits } from "../shared/limits.ts";
import { programOptions } from "../shared/options.ts";
import type { LogRecord } from "../shared/record.ts";
import { tokenSource } from "../shared/token.ts";
import { presenting } from "./client_certificate.ts";
import { tlsOptions } from "./command_line.ts";
import { confirmMessages } from "./confirm.ts";
import { DiskQueue } from "./disk_queue.ts";
import { bootId, KernelClock } from "./kernel_clock.ts";
import { fetchOf } from "./pin.ts";
import { runPipeline } from "./pipeline.ts";
import { QueuedStreams } from "./queue_source.ts";
import { parseEscaped } from "./syslog.ts";

const usage = `
Usage: logmill-agent omprog [OPTIONS]        ship what rsyslog's omprog action gives`;

const table = {
  receiver: {
    type: "list",
    unit: "url",
    help: "where to ship to (default: http://127.0.0.1:4750)",
  },
  ...tlsOptions,
  state: {
    type: "text",
    unit: "folder",
    default: process.env["STATE_DIRECTORY"] ?? "/var/lib/logmill",
    help: "the key, and the queue of what isn't shipped yet",
  },
  name: { type: "text", unit: "name", default: "rsyslog", help: "the source is app:NAME" },
  audience: {
    type: "text",
    unit: "name",
    default: "logmill",
    help: "the service that tokens name",
  },
  "queue-bytes": {
    type: "number",
    unit: "bytes",
    default: limits.diskQueueBytesMax,
    help: "disk for the queue; when it is full, rsyslog keeps what comes",
  },
} as const;

/** Runs until standard input ends and the queue is shipped, or for `stopMs` after its end. */
export async function runOmprog(argv: string[]): Promise<void> {
  const { values } = programOptions(usage, table, argv);
  const say = (text: string) => console.error(`logmill-agent: ${text}`);
  const source = `app:${values.name}`;
  if (!isName(source)) {
    throw new Error(
      `Cannot use --name ${values.name} because it must be letters, digits and ._:@+-`,
    );
  }
  const receivers = values.receiver.length > 0 ? [...values.receiver] : ["http://127.0.0.1:4750"];
  const folder = join(values.state, `queue-${values.name}`);
  await lock(folder);
  const identity = await loadIdentity(values.state);
  const plain = values["client-cert"] ? presenting(values.state, fetch) : fetch;
  const pinnedFetch = fetchOf([...values.pin], receivers, plain);
  const queue = await DiskQueue.open(folder, { bytesMax: values["queue-bytes"], warn: say });
  const clock = new KernelClock(() => performance.now());
  const streams = new QueuedStreams(queue);
  const shipped = ship(streams, {
    receivers,
    token: tokenSource(identity, values.audience),
    kernelUs: () => clock.nowUs(),
    wallSynced: () => existsSync("/run/systemd/timesync/synchronized"),
    report: say,
    clock: { nowMs: Date.now, monotonicMs: () => performance.now(), sleep },
    random: Math.random,
    fetch: pinnedFetch,
  });
  const numbered = new Numbered(queue, source, () => clock.nowUs());
  await confirmMessages({
    input: process.stdin,
    // A pipe takes so few bytes at once; and nothing may be between them and the sync.
    answer: (line) => void writeSync(1, `${line}\n`),
    keep: (message) => numbered.keep(message),
  });
  streams.finish();
  await Promise.race([shipped, sleep(limits.stopMs)]);
}

type Shipping = Omit<Parameters<typeof runPipeline>[0], "source">;

async function ship(streams: QueuedStreams, options: Shipping): Promise<void> {
  for (let source = await streams.next(); source; source = await streams.next()) {
    const current = source;
    await runPipeline({
      ...options,
      source,
      acked: ({ range }) => {
        if (range) void current.save({ seq: range.last });
      },
    });
  }
}

/** Gives messages their seqs, under a stream id of this run's own. */
class Numbered {
  readonly #stream = randomBytes(9).toString("hex");
  readonly #boot = bootId();
  #nextSeq = 0;

  constructor(
    private readonly queue: DiskQueue,
    private readonly source: string,
    private readonly nowUs: () => number,
  ) {}

  async keep(message: string): Promise<void> {
    const names = { boot: this.#boot, source: this.source, stream: this.#stream };
    const [seq, usec] = [this.#nextSeq, this.nowUs()];
    const { prio, text } = parseEscaped(message);
    const record: LogRecord = { prio, seq, usec, flag: "-", fields: "", text, more: [] };
    await this.queue.append([{ names, records: [record] }]);
    // Only now: a seq that was given to nothing would be a loss.
    this.#nextSeq++;
  }
}

/** Ends with the process, however it ends: an abstract socket has no file. */
async function lock(folder: string): Promise<void> {
  const hash = createHash("sha256").update(resolve(folder)).digest("hex").slice(0, 32);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", () =>
      reject(
        new Error(
          `Cannot open ${folder} because one process at a time may: another one has it. ` +
            `rsyslog's action needs forceSingleInstance="on"`,
        ),
      ));
    server.listen(`\0logmill-queue-${hash}`, resolve);
  });
  server.unref();
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
