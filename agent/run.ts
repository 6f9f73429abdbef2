/** `logmill-agent run`: the sources that the options name, each with its pipeline, until it is stopped. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { isName } from "../shared/block.ts";
import { type Identity, loadIdentity } from "../shared/identity.ts";
import { limits } from "../shared/limits.ts";
import { tokenSource } from "../shared/token.ts";
import { Checkpoint, type Position } from "./checkpoint.ts";
import { presenting } from "./client_certificate.ts";
import { ClockWatch } from "./clock_watch.ts";
import type { AgentOptions } from "./command_line.ts";
import { DiskSpool } from "./disk_spool.ts";
import { diedBoot } from "./died_boot.ts";
import { FilesFollower } from "./files/follow_files.ts";
import { bootId, KernelClock } from "./kernel_clock.ts";
import { Leftover, leftovers, readBefore } from "./leftovers.ts";
import { LinesSource } from "./lines.ts";
import { journaldProblem } from "./logos/journald.ts";
import { devkmsgProblem, openKmsgWriter } from "./logos/kmsg_writer.ts";
import { serveLogosSocket } from "./logos/socket.ts";
import { watchNetwork } from "./network_watch.ts";
import { openKmsgSources } from "./persistent_ring.ts";
import { fetchOf } from "./pin.ts";
import { Pipeline, type PipelineOptions } from "./pipeline.ts";
import type { Clock } from "./post.ts";
import { parsePseudonymKinds, pseudonymiser, readPseudonymKey } from "./pseudonyms.ts";
import { openPstore } from "./pstore/pstore.ts";
import { RateCap } from "./rate_cap.ts";
import { keepRefused } from "./refused.ts";
import { openRing } from "./ring.ts";
import type { Source } from "./source.ts";
import { SparingCheckpoint } from "./sparing_checkpoint.ts";
import { SpoolQueue } from "./spool_queue.ts";
import { Status } from "./status.ts";
import { openSyslog } from "./syslog.ts";

const version = "0.1.0";
const clock: Clock = {
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  sleep: (ms) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
};

/** Returns the exit status when everything has ended, or after SIGTERM and what was to be sent. */
export async function runAgent(
  values: AgentOptions,
  stdin: ReadableStream<Uint8Array>,
  say: (text: string) => void,
): Promise<number> {
  const agent = new Agent(values, await loadIdentity(values.state), say);
  const wanted = values.source.length > 0 ? values.source : ["kmsg"];
  const unknown = wanted.find((name) => !["kmsg", "stdin", "none"].includes(name));
  if (unknown) throw new Error(`Cannot ship ${unknown}: a source must be kmsg, stdin or none`);
  if (values["spool-eager"] && values.spool === undefined) {
    throw new Error("Cannot use --spool-eager because it needs a folder: give --spool FOLDER");
  }
  if (wanted.includes("kmsg")) await agent.shipKernelLog();
  if (wanted.includes("stdin")) await agent.shipStdin(stdin);
  if (values.file.length > 0) agent.followFiles();
  if (values.syslog !== undefined) await agent.takeSyslog(values.syslog);
  if (values["logos-socket"] !== undefined) await agent.serveLogos(values["logos-socket"]);
  return await agent.run();
}

class Agent {
  readonly #boot = bootId();
  readonly #kernelClock = new KernelClock(clock.monotonicMs);
  readonly #clockWatch = new ClockWatch(clock);
  /** Gone with the boot: what is written often goes there. */
  readonly #runFolder: string | undefined;
  readonly #status: Status;
  readonly #transform: PipelineOptions["transform"];
  readonly #token: PipelineOptions["token"];
  /** Knows the receivers' certificates, where they are pinned. */
  readonly #fetch: typeof fetch;
  readonly #pipelines = new Set<Pipeline>();
  readonly #sources = new Set<Source>();
  readonly #running: Array<Promise<unknown>> = [];
  /** In the order in which they are to be stopped: who writes before who reads. */
  readonly #closers: Array<() => void | Promise<void>> = [];
  #stopping = false;
  /** What is to be done at the very end. */
  readonly #lastly: Array<() => Promise<void>> = [];
  readonly #shipped: string[] = [];

  constructor(
    private readonly values: AgentOptions,
    private readonly identity: Identity,
    private readonly say: (text: string) => void,
  ) {
    this.#runFolder = values.run ?? process.env["RUNTIME_DIRECTORY"]?.split(":")[0];
    if (this.#runFolder !== undefined) mkdirSync(this.#runFolder, { recursive: true });
    const folder = this.#runFolder ?? values.state;
    const everyMs = this.#runFolder === undefined ? limits.statusOnFlashMs : limits.statusMs;
    this.#status = new Status({ folder, version, clock, everyMs, warn: say });
    this.#transform = transformOf(values);
    this.#token = tokenSource(identity, values.audience);
    const plain = values["client-cert"] ? presenting(values.state, fetch) : fetch;
    this.#fetch = fetchOf(values.pin, this.#receivers, plain);
  }

  /** The last words of boots that died, what the ring has of them, and then this boot as it goes on. */
  async shipKernelLog(): Promise<void> {
    const { state, pstore } = this.values;
    const checkpoint = this.#kmsgCheckpoint();
    const acked = await checkpoint.load();
    const died = await diedBoot(state, this.#boot, acked, this.say);
    const queue = await this.#openQueue("kmsg");
    const eager = queue && this.values["spool-eager"] ? queue : undefined;
    const readOf = (boot: string, position: Position | undefined) =>
      eager ? readBefore(eager, { boot, source: "kmsg", stream: boot }, position) : position;
    // What an eager spool has of this boot needn't be read again; what it has of the last one isn't lost.
    const position = await readOf(this.#boot, acked);
    if (died) died.position = await readOf(died.boot, died.position);
    const { old, current, ringSurvived } = openKmsgSources({
      openRing,
      boot: this.#boot,
      clock: this.#kernelClock,
      position,
      lastBoot: died?.boot,
      sleep: clock.sleep,
    });
    const dumps = openPstore({ root: pstore, state, died, ringSurvived, report: this.say });
    const before = (async () => {
      // What was read before the reset comes before what was found after it.
      if (eager) await this.#shipLeftovers(eager, checkpoint, acked);
      for (const dump of dumps) {
        await this.#ship(dump);
        dump.shipped();
      }
      for (const boot of old) await this.#ship(boot, { checkpoint });
    })();
    this.#running.push(before);
    if (queue && !eager) this.#running.push(this.#shipLeftovers(queue));
    const source = this.#over(queue, this.#capped(current));
    this.#start(source, { checkpoint, after: before }, position);
  }

  /** On flash alone where there is no folder that is only the boot's. */
  #kmsgCheckpoint(): Checkpoint | SparingCheckpoint {
    const file = "checkpoint-kmsg.json";
    const lasting = new Checkpoint(join(this.values.state, file), this.say);
    if (this.#runFolder === undefined) return lasting;
    const volatile = new Checkpoint(join(this.#runFolder, file), this.say);
    const sparing = new SparingCheckpoint(volatile, lasting, clock.monotonicMs);
    this.#lastly.push(() => sparing.flush());
    return sparing;
  }

  /** Its stream ends with this process: there is nothing to keep for the next one. */
  async shipStdin(input: ReadableStream<Uint8Array>): Promise<void> {
    const source = `app:${this.values.name}`;
    if (!isName(source)) {
      throw new Error(
        `Cannot use --name ${this.values.name} because it must be letters, digits and ._:@+-`,
      );
    }
    const lines = new LinesSource({ ...this.#stamp, source, input });
    this.#start(await this.#spooled(this.#capped(lines)));
  }

  followFiles(): void {
    const follower = new FilesFollower({
      ...clock,
      ...this.#stamp,
      patterns: this.values.file,
      state: this.values.state,
      report: this.say,
      ship: (source) => this.#ship(this.#capped(source), { checkpoint: source }),
    });
    this.#shipped.push(...this.values.file);
    this.#closers.push(() => follower.close());
    this.#running.push(follower.run());
  }

  async takeSyslog(path: string): Promise<void> {
    const { sleep } = clock;
    const syslog = await openSyslog({ ...this.#stamp, path, sleep, report: this.say });
    this.#start(await this.#spooled(this.#capped(syslog)));
  }

  async serveLogos(path: string): Promise<void> {
    for (const problem of [devkmsgProblem(), journaldProblem()]) if (problem) this.say(problem);
    const writer = openKmsgWriter();
    const socket = await serveLogosSocket(path, {
      write: writer.write,
      nowMs: clock.monotonicMs,
      report: this.say,
    });
    this.#closers.unshift(async () => {
      await socket.close();
      writer.close();
    });
  }

  async run(): Promise<number> {
    const receivers = this.#receivers.join(", ");
    this.say(`shipping ${this.#shipped.join(", ")} to ${receivers} as ${this.identity.thumbprint}`);
    const wake = () => this.#pipelines.forEach(({ uploader }) => uploader.wake());
    const offline = () => [...this.#pipelines].some(({ uploader }) => uploader.offlineMs > 0);
    const stopped = Promise.withResolvers<void>();
    const stop = async () => {
      this.#stopping = true;
      void clock.sleep(limits.stopMs).then(stopped.resolve);
      for (const close of this.#closers) await close();
      for (const source of this.#sources) source.close();
      wake();
    };
    process.on("SIGUSR1", wake);
    process.once("SIGTERM", stop);
    process.once("SIGINT", stop);
    void watchNetwork(offline, wake, clock.sleep);
    void this.#status.keepWriting();
    await Promise.race([Promise.all(this.#running), stopped.promise]);
    for (const last of this.#lastly) await last();
    return 0;
  }

  get #receivers(): string[] {
    const { receiver } = this.values;
    return receiver.length > 0 ? receiver : ["http://127.0.0.1:4750"];
  }

  /** For sources that number and stamp records themselves. */
  get #stamp() {
    return { boot: this.#boot, nowUs: () => this.#kernelClock.nowUs() };
  }

  #capped(source: Source): Source {
    const bytesPerSecond = this.values["max-rate"];
    return bytesPerSecond === undefined ? source : new RateCap(source, { bytesPerSecond, clock });
  }

  /** With a disk behind it for a long outage, if there is one; what a previous run left is shipped. */
  async #spooled(source: Source): Promise<Source> {
    const queue = await this.#openQueue(source.source);
    if (queue) this.#running.push(this.#shipLeftovers(queue));
    return this.#over(queue, source);
  }

  async #openQueue(source: string): Promise<SpoolQueue | undefined> {
    const { spool: folder, "spool-bytes": bytesMax, "spool-eager": eager } = this.values;
    if (folder === undefined) return undefined;
    try {
      const path = join(folder, source);
      const queue = await SpoolQueue.open(path, { bytesMax, eager, warn: this.say });
      this.#lastly.push(() => queue.close());
      return queue;
    } catch (error) {
      this.say(`Cannot spool to ${folder}: ${(error as Error).message}. Memory is all there is.`);
      return undefined;
    }
  }

  #over(queue: SpoolQueue | undefined, source: Source): Source {
    const eager = this.values["spool-eager"];
    return queue ? new DiskSpool(source, { queue, clock, eager, report: this.say }) : source;
  }

  async #shipLeftovers(
    queue: SpoolQueue,
    checkpoint?: PipelineOptions["checkpoint"],
    acked?: Position,
  ): Promise<void> {
    for await (const left of leftovers(queue, this.#boot, acked)) {
      if (this.#stopping) break;
      await this.#ship(left, { checkpoint });
    }
  }

  #start(
    source: Source,
    options: Pick<PipelineOptions, "checkpoint" | "after"> = {},
    position?: Position,
  ): void {
    this.#shipped.push(source.source);
    this.#running.push(this.#ship(source, options, position));
  }

  async #ship(
    source: Source,
    options: Pick<PipelineOptions, "checkpoint" | "after"> = {},
    position?: Position,
  ): Promise<void> {
    const { interval, memory, state } = this.values;
    const status = this.#status.source(source.source, {
      waiting: () => pipeline.outbox.frames,
      spoolBytes: () => pipeline.outbox.bytes,
      seq: position?.seq,
    });
    const pipeline: Pipeline = new Pipeline({
      ...options,
      source,
      status,
      acked: (frame) => {
        status.acked(frame);
        // What came from a disk may go from there.
        const onDisk = source instanceof DiskSpool || source instanceof Leftover;
        if (onDisk && frame.range) void source.acknowledged(frame.range.last);
      },
      receivers: this.#receivers,
      token: this.#token,
      kernelUs: () => this.#kernelClock.nowUs(),
      wallSynced,
      intervalMs: interval === undefined ? undefined : interval * 1000,
      clockJump: () => this.#clockWatch.jump(),
      setAside: (frame) => keepRefused(state, frame, clock.nowMs()),
      spoolBytes: memory,
      transform: this.#transform,
      report: this.say,
      clock,
      random: Math.random,
      fetch: this.#fetch,
    });
    this.#pipelines.add(pipeline);
    this.#sources.add(source);
    await pipeline.run();
    // A file that is rotated every day has as many sources: those that ended must go.
    this.#pipelines.delete(pipeline);
    this.#sources.delete(source);
  }
}

function transformOf(values: AgentOptions): PipelineOptions["transform"] {
  const { pseudonymise, "pseudonym-key": keyPath } = values;
  if (pseudonymise === undefined) return undefined;
  if (keyPath === undefined) {
    throw new Error("Cannot use --pseudonymise because it needs a key: give --pseudonym-key FILE");
  }
  return pseudonymiser({
    kinds: parsePseudonymKinds(pseudonymise),
    key: readPseudonymKey(keyPath),
  });
}

/** What systemd-timesyncd and chrony leave behind once the clock has been set. */
function wallSynced(): boolean {
  return existsSync("/run/systemd/timesync/synchronized") || existsSync("/run/chrony/synchronized");
}
