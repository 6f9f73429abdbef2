/** A followed file in a folder of its own, and an agent that can be killed at any time. */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  renameSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { LogRecord } from "../../shared/record.ts";
import { FakeClock, settle, TemporaryFolder } from "../../tests/fixtures.ts";
import { FileCheckpoint, type FilePosition } from "./file_checkpoint.ts";
import type { FileSource } from "./file_source.ts";
import { FollowedFile } from "./followed_file.ts";

export interface SentLine {
  stream: string;
  record: LogRecord;
}

export class LogFolder implements Disposable {
  readonly #folder = new TemporaryFolder();
  readonly path = join(this.#folder.path, "app.log");
  readonly state = join(this.#folder.path, "checkpoint.json");
  /** All that any agent has sent, in order. */
  readonly sent: SentLine[] = [];
  readonly warnings: string[] = [];

  append(text: string, path = this.path): void {
    appendFileSync(path, text);
  }

  write(text: string): void {
    writeFileSync(this.path, text);
  }

  /** As logrotate does: `.1` becomes `.2`, and so on; returns the new `.1`. */
  rotate(): string {
    const { path } = this;
    let last = 1;
    while (existsSync(`${path}.${last}`)) last++;
    for (let n = last; n > 1; n--) renameSync(`${path}.${n - 1}`, `${path}.${n}`);
    if (existsSync(path)) renameSync(path, `${path}.1`);
    return `${path}.1`;
  }

  copytruncate(): void {
    const { path } = this;
    let last = 1;
    while (existsSync(`${path}.${last}`)) last++;
    for (let n = last; n > 1; n--) renameSync(`${path}.${n - 1}`, `${path}.${n}`);
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
  }

  get names(): string[] {
    return readdirSync(this.#folder.path).sort();
  }

  /** What arrived, once for each identity. */
  get texts(): string[] {
    const lines = this.sent.filter(({ record }) => record.flag === "-");
    const stored = new Map(lines.map(({ stream, record }) => [`${stream} ${record.seq}`, record]));
    return [...stored.values()].map(({ text }) => text);
  }

  get gaps(): string[] {
    return this.sent.filter(({ record }) => record.flag === "g").map(({ record }) => record.fields);
  }

  get streams(): string[] {
    return [...new Set(this.sent.map(({ stream }) => stream))];
  }

  start(): FollowingAgent {
    return new FollowingAgent(this);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

/** Sends whatever it reads at once; acknowledgements come when the test says so, or at once. */
export class FollowingAgent {
  readonly clock = new FakeClock();
  readonly #file: FollowedFile;
  readonly #checkpoint: WatchedCheckpoint;
  readonly #unacked: Array<{ source: FileSource; seq: number }> = [];
  #caughtUp = Promise.withResolvers<void>();
  readonly ended: Promise<void>;
  autoAck = true;

  constructor(private readonly folder: LogFolder) {
    const warn = (text: string) => void folder.warnings.push(text);
    const checkpoint = this.#checkpoint = new WatchedCheckpoint(folder.state, warn);
    const { sleep, monotonicMs } = this.clock;
    const nowUs = () => monotonicMs() * 1000;
    const options = { path: folder.path, checkpoint, boot: "b1", nowUs, monotonicMs, sleep };
    this.#file = new FollowedFile(options);
    this.ended = this.#run();
  }

  /** Lets time pass, long enough for files to be written. */
  async run(ms = 1_000): Promise<void> {
    for (let atMs = 0; atMs < ms; atMs += 500) {
      await this.clock.advance(500);
      await this.#checkpoint.settled();
    }
  }

  /** The oldest so many lines that were sent are acknowledged. */
  async ack(count = Infinity): Promise<void> {
    const acked = this.#unacked.splice(0, count);
    await Promise.all(acked.map(({ source, seq }) => source.save({ seq })));
    if (this.#unacked.length > 0) return;
    this.#caughtUp.resolve();
    this.#caughtUp = Promise.withResolvers();
  }

  get unacked(): number {
    return this.#unacked.length;
  }

  /** It gets no chance to save anything more: acknowledgements are what moves the checkpoint. */
  async kill(): Promise<void> {
    await this.#checkpoint.settled();
    this.#unacked.length = 0;
    this.#file.close();
    void this.clock.advance(1_000);
  }

  async stop(): Promise<void> {
    this.#file.close();
    this.autoAck = true;
    await this.ack();
    await this.run();
    await this.ended;
  }

  async #run(): Promise<void> {
    for (let source = await this.#file.next(); source; source = await this.#file.next()) {
      for (let records = await source.read(); records; records = await source.read()) {
        for (const record of records) {
          this.folder.sent.push({ stream: source.stream, record });
          if (record.flag === "-") this.#unacked.push({ source, seq: record.seq });
        }
        if (this.autoAck) await this.ack();
      }
      while (this.#unacked.length > 0) await this.#caughtUp.promise;
    }
  }
}

/** Files are written by threads, which take no notice of a test's clock: it waits for them here. */
class WatchedCheckpoint extends FileCheckpoint {
  #pending = 0;

  override load(): Promise<FilePosition | undefined> {
    return this.#watch(super.load());
  }

  override save(position: FilePosition): Promise<void> {
    return this.#watch(super.save(position));
  }

  async settled(): Promise<void> {
    do await settle(); while (this.#pending > 0);
  }

  #watch<T>(work: Promise<T>): Promise<T> {
    this.#pending++;
    return work.finally(() => this.#pending--);
  }
}
