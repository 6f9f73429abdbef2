/**
 * A rate of log text into a live epoch, with the running grinder on one core behind it: how far it is
 * behind, some times each second, until the writer has ended; and whether all that it should has come out.
 */
import { join } from "node:path";
import process from "node:process";
import { loadRules } from "../../grinder/load_rules.ts";
import { bunPath, root } from "../../tests/programs.ts";
import { GrinderProcess } from "./grinder_process.ts";
import type { LagSample } from "./lag.ts";
import { countEvents, newestEvent } from "./newest_event.ts";

export interface ReplayOptions {
  /** `data` and `out` are made in it. */
  folder: string;
  rules: string;
  seconds: number;
  rateMB: number;
  devices: number;
  matching: number;
}

export interface Replayed {
  samples: LagSample[];
  frames: number;
  textBytes: number;
  storedBytes: number;
  records: number;
  /** What the rules make of the text, and what they made of it. */
  events: number;
  eventsOut: number;
  /** From the last commit until everything was out. */
  tailMs: number;
  writerSeconds: number;
  rssMiB: number;
}

interface Placed {
  segment: number;
  offset: number;
  textEnd: number;
}

type Made = Pick<Replayed, "frames" | "textBytes" | "storedBytes" | "records" | "events">;

type Told =
  | { event: "prepared" } & Made
  | { event: "started" }
  | { event: "frame" } & Placed
  | { event: "done"; seconds: number };

const sampleMs = 100;
/** Nothing more comes out for so long: so nothing will. */
const quietMs = 5_000;
const grinderCore = 0;
const writerCore = 1;

export async function replay(options: ReplayOptions): Promise<Replayed> {
  const { folder } = options;
  const out = join(folder, "out");
  const writer = new Writer(options);
  await writer.prepared;
  const grinder = await GrinderProcess.start({
    core: grinderCore,
    options: [
      ...["--data", join(folder, "data"), "--out", out],
      ...["--rules", options.rules, "--workers", "0"],
    ],
  });
  const watch = new Watch(writer, grinder, join(out, "events"));
  while (!writer.done) {
    await Bun.sleep(sampleMs);
    if (writer.failure) throw writer.failure;
    if (writer.frames.length > 0) watch.look();
  }
  const tailMs = await watch.untilQuiet();
  const { rssMiB } = grinder;
  await grinder.stop();
  const names = new Set((await loadRules(options.rules)).map(({ name }) => name));
  const counts = await countEvents(join(out, "events"));
  const eventsOut = [...counts].reduce((sum, [rule, n]) => sum + (names.has(rule) ? n : 0), 0);
  const { samples } = watch;
  const { frames, textBytes, storedBytes, records, events } = writer.made!;
  const made = { frames, textBytes, storedBytes, records, events };
  return { ...made, samples, eventsOut, tailMs, writerSeconds: writer.seconds, rssMiB };
}

/** The other process, by what it tells. */
class Writer {
  made: Made | undefined;
  readonly prepared: Promise<void>;
  readonly frames: Placed[] = [];
  /** Text up to the end of each frame, by segment and offset. */
  readonly textEnds = new Map<string, number>();
  startMs = 0;
  seconds = 0;
  done = false;
  failure: unknown;
  readonly #prepared = Promise.withResolvers<void>();

  constructor({ folder, rules, seconds, rateMB, devices, matching }: ReplayOptions) {
    this.prepared = this.#prepared.promise;
    const numbers = { seconds, rate: rateMB, devices, matching };
    const options = Object.entries({ folder, rules, ...numbers }).flatMap(([name, value]) => [
      `--${name}`,
      String(value),
    ]);
    const program = [bunPath, "bench/grind/replay_part.ts", ...options];
    const child = Bun.spawn(["taskset", "-c", String(writerCore), ...program], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    process.once("exit", () => child.kill("SIGKILL"));
    void this.#listen(child.stdout).catch((error: unknown) => {
      this.failure = error;
      this.#prepared.reject(error);
    });
  }

  async #listen(stdout: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#hear(JSON.parse(line) as Told);
    }
    if (!this.done) throw new Error("the writer ended too soon");
  }

  #hear(told: Told): void {
    if (told.event === "prepared") {
      this.made = told;
      this.#prepared.resolve();
    } else if (told.event === "started") {
      this.startMs = Date.now();
    } else if (told.event === "frame") {
      this.frames.push(told);
      this.textEnds.set(`${told.segment} ${told.offset}`, told.textEnd);
    } else {
      this.seconds = told.seconds;
      this.done = true;
    }
  }
}

class Watch {
  readonly samples: LagSample[] = [];

  constructor(
    private readonly writer: Writer,
    private readonly grinder: GrinderProcess,
    private readonly events: string,
  ) {}

  look(): void {
    const { writer, grinder } = this;
    const event = newestEvent(this.events);
    const nowMs = Date.now();
    this.samples.push({
      seconds: (nowMs - writer.startMs) / 1000,
      committedBytes: writer.frames.at(-1)!.textEnd,
      behindBytes: writer.frames.at(-1)!.textEnd - this.#doneBytes(),
      newestMs: event ? nowMs - event.recv_us / 1000 : nowMs - writer.startMs,
      cpuSeconds: grinder.cpuSeconds,
    });
  }

  /** Until all is done, or nothing more comes. Returns how long that took. */
  async untilQuiet(): Promise<number> {
    const startMs = performance.now();
    const end = this.writer.frames.at(-1)!.textEnd;
    let [before, changedMs] = [-1, startMs];
    while (performance.now() - changedMs < quietMs) {
      const done = this.#doneBytes();
      if (done === end) return performance.now() - startMs;
      if (done !== before) changedMs = performance.now();
      before = done;
      await Bun.sleep(5);
    }
    return performance.now() - startMs;
  }

  /** All before the end of the frame with the newest event is done; frames without any are rare. */
  #doneBytes(): number {
    const event = newestEvent(this.events);
    if (!event) return 0;
    const segment = Number(event.segment.slice(event.segment.lastIndexOf("/") + 1));
    // The event may be out before we have heard of its frame.
    const end = this.writer.frames.at(-1)!.textEnd;
    return this.writer.textEnds.get(`${segment} ${event.offset}`) ?? end;
  }
}
