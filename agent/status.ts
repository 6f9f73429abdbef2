/**
 * What the agent is doing, for people and for what watches it: the running agent writes a small JSON
 * file, `agent status` reads it.
 *
 *     {"version":"0.1.0","pid":812,"started_ms":...,"written_ms":...,"sources":{"kmsg":{
 *       "receiver":"https://logs.example.com","seq":4711,"acked_ms":...,
 *       "waiting_frames":2,"waiting_text_bytes":12000,"spool_bytes":3000,
 *       "error":{"why":"503 busy","since_ms":...,"failures":7,"over_ms":...},
 *       "gaps":{"overrun":120}}}}
 *
 * Times are Unix milliseconds. `seq`, `acked_ms`, `receiver` and `error` are absent until there is one;
 * `over_ms` until it is over. `gaps` are records missing since the agent's start, by cause. The file is
 * renamed into place and never synced: it is news, and worth nothing after a power failure.
 */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { limits } from "../shared/limits.ts";
import { type LogRecord, parseGap } from "../shared/record.ts";
import type { Frame } from "./encoder.ts";
import type { Clock } from "./post.ts";

export const statusFile = "status.json";
/** An error's text: a receiver's answer may be anything. */
const whyCharsMax = 300;

export interface StatusJson {
  version: string;
  pid: number;
  started_ms: number;
  written_ms: number;
  sources: Record<string, SourceJson>;
}

export interface SourceJson {
  receiver?: string;
  seq?: number;
  acked_ms?: number;
  waiting_frames: number;
  waiting_text_bytes: number;
  spool_bytes: number;
  error?: { why: string; since_ms: number; failures: number; over_ms?: number };
  gaps: Record<string, number>;
}

export interface SourceStatusOptions {
  /** What isn't acknowledged: the outbox's frames. */
  waiting: () => readonly Frame[];
  /** Bytes of it on disk, or compressed in memory where there is no disk. */
  spoolBytes: () => number;
  /** What the checkpoint says at the start. */
  seq?: number | undefined;
}

/** One source, told of what happens to it. */
export class SourceStatus {
  #receiver: string | undefined;
  #seq: number | undefined;
  #ackedAtMs: number | undefined;
  #error: { why: string; sinceMs: number; failures: number; overMs?: number } | undefined;
  readonly #gaps = new Map<string, number>();

  constructor(
    private readonly options: SourceStatusOptions,
    private readonly monotonicMs: () => number,
  ) {
    this.#seq = options.seq;
  }

  /** A POST to this receiver begins. */
  using(url: string): void {
    this.#receiver = new URL(url).origin;
  }

  /** A frame became durable. Its gap records are counted now; until then they are among `waiting`. */
  acked(frame: Frame): void {
    this.#seq = frame.range?.last ?? this.#seq;
    this.#ackedAtMs = this.monotonicMs();
    countGaps(frame.gaps, this.#gaps);
  }

  /** To be called at each failure: the first one's time and the newest one's words are kept. */
  failed(why: string): void {
    const now = this.#error?.overMs === undefined ? this.#error : undefined;
    const sinceMs = now?.sinceMs ?? this.monotonicMs();
    this.#error = { why: why.slice(0, whyCharsMax), sinceMs, failures: (now?.failures ?? 0) + 1 };
  }

  recovered(): void {
    if (this.#error) this.#error.overMs ??= this.monotonicMs();
  }

  /** `wallMs` turns a monotonic time into Unix time. */
  toJson(wallMs: (monotonicMs: number) => number): SourceJson {
    const frames = this.options.waiting();
    const gaps = new Map(this.#gaps);
    for (const frame of frames) countGaps(frame.gaps, gaps);
    const json: SourceJson = {
      waiting_frames: frames.length,
      waiting_text_bytes: frames.reduce((sum, { decodedBytes }) => sum + decodedBytes, 0),
      spool_bytes: this.options.spoolBytes(),
      gaps: Object.fromEntries(gaps),
    };
    if (this.#receiver !== undefined) json.receiver = this.#receiver;
    if (this.#seq !== undefined) json.seq = this.#seq;
    if (this.#ackedAtMs !== undefined) json.acked_ms = wallMs(this.#ackedAtMs);
    if (this.#error) {
      const { why, sinceMs, failures, overMs } = this.#error;
      json.error = { why, since_ms: wallMs(sinceMs), failures };
      if (overMs !== undefined) json.error.over_ms = wallMs(overMs);
    }
    return json;
  }
}

function countGaps(records: readonly LogRecord[], gaps: Map<string, number>): void {
  for (const record of records) {
    const gap = parseGap(record);
    if (gap) gaps.set(gap.cause, (gaps.get(gap.cause) ?? 0) + gap.count);
  }
}

export interface StatusOptions {
  /** On tmpfs where there is one. */
  folder: string;
  /** How often it is written. */
  everyMs?: number;
  version: string;
  clock: Clock;
  warn: (text: string) => void;
}

export class Status {
  readonly #startedAtMs: number;
  readonly #sources = new Map<string, SourceStatus>();
  #failing = false;

  constructor(private readonly options: StatusOptions) {
    this.#startedAtMs = options.clock.monotonicMs();
  }

  /** A source under its name; one of the same name before it has ended. */
  source(name: string, options: SourceStatusOptions): SourceStatus {
    const source = new SourceStatus(options, this.options.clock.monotonicMs);
    this.#sources.set(name, source);
    return source;
  }

  /** Writes now and again and again, until the program ends. */
  async keepWriting(): Promise<never> {
    for (;;) {
      await this.write();
      await this.options.clock.sleep(this.options.everyMs ?? limits.statusMs);
    }
  }

  /** Not to be called again before it has resolved. A disk that can't take it is warned of, once. */
  async write(): Promise<void> {
    const { folder, warn } = this.options;
    const path = join(folder, statusFile);
    try {
      await mkdir(folder, { recursive: true, mode: 0o755 });
      await writeFile(`${path}.tmp`, `${JSON.stringify(this.toJson())}\n`, { mode: 0o644 });
      await rename(`${path}.tmp`, path);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) warn(`Cannot write ${path}: ${(error as Error).message}`);
      this.#failing = true;
    }
  }

  /** Times are kept as monotonic ones until here: the wall clock may have been set since. */
  toJson(): StatusJson {
    const { clock, version } = this.options;
    const aheadMs = clock.nowMs() - clock.monotonicMs();
    const wallMs = (monotonicMs: number) => Math.round(monotonicMs + aheadMs);
    const sources = [...this.#sources].map(([name, source]) => [name, source.toJson(wallMs)]);
    return {
      version,
      pid: process.pid,
      started_ms: wallMs(this.#startedAtMs),
      written_ms: Math.round(clock.nowMs()),
      sources: Object.fromEntries(sources),
    };
  }
}
