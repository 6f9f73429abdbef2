/**
 * Many simulated devices in one process, over real HTTP: each runs the agent's own pipeline, with its
 * own key. What was written and what was acknowledged is kept in `journal`, for verify.
 */
import process from "node:process";
import { runPipeline } from "../../agent/pipeline.ts";
import type { Device as AllowedDevice } from "../../shared/allowlist.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { tokenSource } from "../../shared/token.ts";
import { allowDevices } from "./allow.ts";
import { Delays, type Percentiles } from "./delays.ts";
import { type Boot, Device, type DeviceClock, exponential } from "./device.ts";
import { type JournalStream, writeJournal } from "./journal.ts";
import { Link, type LinkCounts } from "./link.ts";

/** From the last word to the kernel's first, so that a reboot is seen as one. Picked from the air. */
const downMs = 500;
/** A receiver looks at its allow-list twice a second. */
const allowMs = 1_200;
const journalMs = 1_000;
/** What Bun opens at a time unless it is told otherwise, by an environment variable at its start. */
const requestsMaxDefault = 256;
/** Beyond one POST for each device: old boots that finish. */
const spareRequests = 16;

export interface FleetOptions {
  /** URLs without a path. Devices begin with different ones. */
  receivers: string[];
  devices: number;
  /** Of record text, each device. */
  bytesPerSecond: number;
  /**
   * Decides text, boot ids and labels (default: by chance). Over the same storage each run needs one
   * of its own: the same boot ids again would be resends.
   */
  seed?: number;
  /** Devices are called PREFIX-0000 and so on. */
  prefix?: string;
  audience?: string;
  /** The receiver's allow-list, to write the devices to. */
  allowList?: string | undefined;
  journalPath?: string | undefined;
  /** Mean seconds between clean reboots of a device, ... */
  rebootSeconds?: number;
  /** ... between power failures, which lose what it hasn't sent, ... */
  crashSeconds?: number;
  /** ... and until a connection breaks, which makes it send things again. */
  cutSeconds?: number;
  clock?: DeviceClock;
  fetch?: typeof fetch;
  report?: (text: string) => void;
}

export interface FleetStats extends LinkCounts {
  devices: number;
  boots: number;
  /** Records written and bytes of their text; records acknowledged. */
  records: number;
  bytes: number;
  acked: number;
  /** Records that went down with their device before they were acknowledged. */
  died: number;
  resentFrames: number;
  /** From being written until handed to fetch, and until known to be durable. */
  leaveMs: Percentiles;
  durableMs: Percentiles;
}

/** A boot and what belongs to it. */
interface Life {
  device: Device;
  boot: Boot;
  link: Link;
  entry: JournalStream;
}

const realClock: DeviceClock = {
  // Finer than Date.now, and it never steps back.
  nowMs: () => performance.timeOrigin + performance.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

export class Fleet {
  readonly journal: JournalStream[] = [];
  devices: Device[] = [];
  readonly #clock: DeviceClock;
  readonly #counts: LinkCounts = { posts: 0, failures: 0 };
  readonly #delays = new Delays();
  /** By the device's number; none while it is down. */
  readonly #lives: Array<Life | undefined> = [];
  readonly #uploading = new Map<Life, Promise<void>>();
  #records = 0;
  #bytes = 0;
  #acked = 0;
  #died = 0;
  #resentFrames = 0;
  #stopping = false;
  #journalWriter: Promise<void> = Promise.resolve();

  constructor(private readonly options: FleetOptions) {
    this.#clock = options.clock ?? realClock;
  }

  /** The devices as an allow-list has them; known once the fleet is made ready or started. */
  get allowed(): AllowedDevice[] {
    return this.devices.map((device) => device.allowed);
  }

  /** Makes the devices and lets them in. Called by `start`, unless it was called before. */
  async prepare(): Promise<void> {
    const { devices, bytesPerSecond, prefix = "sim", allowList } = this.options;
    const seed = this.options.seed ?? Math.floor(Math.random() * 2 ** 31);
    assertRequests(devices);
    this.devices = await Promise.all(
      Array.from({ length: devices }, (_, i) => {
        const name = `${prefix}-${String(i).padStart(4, "0")}`;
        return Device.create(name, Math.imul(seed, 0x9e3779b1) + i, bytesPerSecond);
      }),
    );
    if (!allowList) return;
    allowDevices(allowList, this.allowed);
    await this.#clock.sleep(allowMs);
  }

  async start(): Promise<void> {
    if (this.devices.length === 0) await this.prepare();
    for (const [index] of this.devices.entries()) this.#boot(index);
    if (this.options.journalPath) this.#journalWriter = this.#writeJournals();
  }

  /** Reboots a device: cleanly, or by a power failure. Resolves when its new kernel has started. */
  async reboot(index: number, how: "clean" | "crash" = "clean"): Promise<void> {
    const life = this.#lives[index];
    if (!life) return;
    this.#lives[index] = undefined;
    if (how === "clean") life.boot.shutDown();
    else this.#kill(life);
    await this.#clock.sleep(downMs);
    if (!this.#stopping) this.#boot(index);
  }

  /**
   * Ends all sources and waits until what they wrote is acknowledged. False if it isn't within
   * `timeoutMs`: then the devices stop in the middle of it.
   */
  async stop(timeoutMs = 30_000): Promise<boolean> {
    this.#stopping = true;
    for (const life of this.#lives) life?.boot.close();
    const done = Promise.all(this.#uploading.values()).then(() => true);
    const complete = await Promise.race([done, this.#clock.sleep(timeoutMs).then(() => false)]);
    for (const life of this.#uploading.keys()) this.#kill(life);
    await this.#journalWriter;
    if (this.options.journalPath) await writeJournal(this.options.journalPath, this.journal);
    return complete;
  }

  stats(): FleetStats {
    return {
      devices: this.devices.length,
      boots: this.journal.length,
      records: this.#records,
      bytes: this.#bytes,
      acked: this.#acked,
      died: this.#died,
      ...this.#counts,
      resentFrames: this.#resentFrames,
      leaveMs: this.#delays.leaveMs,
      durableMs: this.#delays.durableMs,
    };
  }

  #boot(index: number): void {
    const device = this.devices[index]!;
    const { receivers, audience = "logmill", cutSeconds = Infinity } = this.options;
    const delays = this.#delays.stream(this.#clock.nowMs);
    const boot = device.boot(this.#clock, ({ usec }, bytes) => {
      this.#records++;
      this.#bytes += bytes;
      entry.written = [0, boot.written - 1];
      delays.written(boot.bootWallUs + usec);
    });
    const entry = this.#journalEntry(device, boot);
    const link = new Link({
      fetch: this.options.fetch ?? fetch,
      counts: this.#counts,
      sent: (bytes) => this.#resentFrames += delays.sent(bytes) ? 1 : 0,
      cutSeconds,
      clock: this.#clock,
      random: device.random,
    });
    const life = { device, boot, link, entry };
    this.#lives[index] = life;
    const first = index % receivers.length;
    const uploading = runPipeline({
      source: boot,
      receivers: [...receivers.slice(first), ...receivers.slice(0, first)],
      token: tokenSource(device.identity, audience),
      kernelUs: () => boot.kernelUs(),
      wallSynced: () => true,
      report: (text) => this.options.report?.(`${device.name}: ${text}`),
      clock: link.clock,
      random: device.random,
      fetch: link.fetch,
      acked: (frame) => {
        delays.acked(frame);
        const { range } = frame;
        if (range) this.#acked += countOf(entry.acked.add(range.first, range.last));
      },
    });
    this.#uploading.set(life, uploading.finally(() => this.#uploading.delete(life)));
    this.#rebootLater(index, life, "clean", this.options.rebootSeconds);
    this.#rebootLater(index, life, "crash", this.options.crashSeconds);
  }

  #journalEntry(device: Device, { boot, source, stream, bootWallUs }: Boot): JournalStream {
    const names = { device: device.name, boot, source, stream };
    const entry = { ...names, bootWallUs, written: null, acked: new IntervalSet() };
    this.journal.push(entry);
    return entry;
  }

  #rebootLater(index: number, life: Life, how: "clean" | "crash", seconds = Infinity): void {
    if (seconds === Infinity) return;
    void this.#clock.sleep(exponential(life.device.random) * seconds * 1000).then(() => {
      if (this.#lives[index] === life && !this.#stopping) void this.reboot(index, how);
    });
  }

  #kill(life: Life): void {
    life.link.kill();
    life.boot.halt();
    this.#uploading.delete(life);
    this.#died += life.boot.written - life.entry.acked.count;
  }

  async #writeJournals(): Promise<void> {
    while (!this.#stopping) {
      await writeJournal(this.options.journalPath!, this.journal);
      await this.#clock.sleep(journalMs);
    }
  }
}

function countOf(intervals: Array<[number, number]>): number {
  return intervals.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** Requests beyond Bun's limit wait without a word, and with them the devices. */
function assertRequests(devices: number): void {
  const max = Number(process.env["BUN_CONFIG_MAX_HTTP_REQUESTS"] ?? requestsMaxDefault);
  if (devices + spareRequests <= max) return;
  throw new Error(
    `Cannot simulate ${devices} devices because each keeps a request open: Bun opens at most ${max}. ` +
      "Start it with BUN_CONFIG_MAX_HTTP_REQUESTS=20000, as `bun run fleet` does.",
  );
}
