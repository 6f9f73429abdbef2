/**
 * One device's stream: frames out as they come due, acknowledgements in, again after a failure as the
 * agent does it.
 */
import { Buffer } from "node:buffer";
import { parseAck } from "../../shared/acks.ts";
import { parseRetryAfter, retryDelayMs } from "../../shared/backoff.ts";
import { limits } from "../../shared/limits.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import type { LogFrames } from "./frames.ts";
import { count } from "./generator.ts";
import type { Latencies } from "./latencies.ts";
import { lastChunk, type Listener, type Wire } from "./wire.ts";

type Pipe = Pick<Wire, "write" | "close">;

/** What all streams share. */
export interface Fleet {
  frames: LogFrames;
  unitMs: number;
  /** A frame holds at most so many units: its text is bounded, whatever the receiver asks for. */
  unitsMax: number;
  latencies: Latencies;
  totals: Totals;
  head: (device: number) => Uint8Array;
  connect: (stream: LiveStream) => void;
  /** Calls the stream's `due` at that time. */
  schedule: (atMs: number, stream: LiveStream) => void;
  ended: (stream: LiveStream) => void;
}

export class Totals {
  open = 0;
  frames = 0;
  sentBytes = 0;
  wireBytes = 0;
  ackedBytes = 0;
  ackLines = 0;
  resentRecords = 0;
  /** By status or error code. */
  refused: Record<string, number> = {};
  /** Connections that broke without a word. */
  broken: Record<string, number> = {};
  /** Streams by the `flush_ms` that they were asked for last. */
  flushMs: Record<string, number> = {};
}

interface Sent {
  /** Of this POST, up to this frame's end. */
  decodedBytes: number;
  unit: number;
  atMs: number;
}

export class LiveStream implements Listener {
  /** Units of which all is durable. */
  ackedUnit: number;
  #sentUnit = 0;
  /** The furthest unit that was ever sent: what is sent again lies before it. */
  #everUnit: number;
  #unitsPerFrame = 1;
  #sent: Sent[] = [];
  #postBytes = 0;
  #ackedBytes = 0;
  #wire: Pipe | undefined;
  /** It waits for the receiver's first line. */
  #knocks: boolean;
  #heardMs = -Infinity;
  #status = 0;
  #failures = 0;
  #retryAfterMs: number | undefined;
  #flushMs = 0;
  /** When there is something to do next; Infinity while a connection is made, or all is sent. */
  #dueMs = 0;
  /** Why it failed is counted already. */
  #told = false;
  /** Frames of different streams end at different units, or all would be sent at once. */
  readonly #offset: number;
  readonly #random: () => number;

  constructor(
    readonly device: number,
    private readonly fleet: Fleet,
    private readonly startMs: number,
    /** Of the text: this device's first unit, and the one behind its last. */
    private readonly unitFirst: number,
    private readonly unitEnd: number,
    /** Its last POST came to nothing, before the first of these. */
    knocks = false,
  ) {
    this.#knocks = knocks;
    this.ackedUnit = this.#everUnit = unitFirst;
    this.#random = seededRandom(device);
    this.#offset = Math.floor(this.#random() * 1000);
  }

  /** The seqs of which all are durable: the first, and the one behind the last. */
  get acked(): [number, number] {
    const { frames } = this.fleet;
    return [frames.linesBefore(this.unitFirst), frames.linesBefore(this.ackedUnit)];
  }

  get done(): boolean {
    return this.ackedUnit >= this.unitEnd;
  }

  /** Something is to be sent, or the stream to be opened (again). */
  due(nowMs: number): void {
    // Of several times that were planned, only the last counts: who backs off sends nothing meanwhile.
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Infinity;
    if (!this.#wire) return this.fleet.connect(this);
    this.#knocks = false;
    const parts = this.#takeDue(nowMs);
    if (parts.length > 0) this.#wire.write(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  #takeDue(nowMs: number): Uint8Array[] {
    const parts: Uint8Array[] = [];
    const said = this.unitFirst + Math.floor((nowMs - this.startMs) / this.fleet.unitMs);
    let end = this.#frameEnd();
    for (; end <= said && this.#sentUnit < this.unitEnd; end = this.#frameEnd()) {
      const chunk = this.#take(end, nowMs);
      if (chunk) parts.push(chunk);
    }
    const endMs = this.startMs + (end - this.unitFirst) * this.fleet.unitMs;
    if (this.#sentUnit < this.unitEnd) this.#plan(endMs);
    else parts.push(lastChunk);
    return parts;
  }

  /** As the agent does: what was sent and isn't acknowledged for so long won't be. */
  giveUpWhenStalled(nowMs: number): void {
    const since = Math.max(this.#sent[0]?.atMs ?? Infinity, this.#heardMs);
    if (!this.#wire || nowMs - since < limits.ackTimeoutMs) return;
    this.#failed("stalled");
  }

  opened(wire: Pipe): void {
    this.#wire = wire;
    this.#sentUnit = this.ackedUnit;
    this.#sent = [];
    this.#postBytes = this.#ackedBytes = 0;
    this.#status = 0;
    this.fleet.totals.open++;
    this.#heardMs = -Infinity;
    wire.write(this.fleet.head(this.device));
    const nowMs = performance.now();
    // As the agent does after a failure: what waits isn't sent before the receiver has let it in.
    if (this.#knocks) return this.#plan(nowMs + limits.knockMs);
    this.#dueMs = 0;
    this.due(nowMs);
  }

  status(status: number, header: (name: string) => string | undefined): void {
    this.#status = status;
    this.#retryAfterMs = parseRetryAfter(header("Retry-After"), Date.now());
  }

  line(text: string): void {
    if (this.#status !== 200) {
      return this.#failed(/"error":"(\w+)"/.exec(text)?.[1] ?? "?");
    }
    const ack = parseAck(text);
    if (!ack) throw new Error(`Cannot read ${text}: it must be an acknowledgement`);
    this.fleet.totals.ackLines++;
    if (ack.flush_ms !== undefined) this.#flush(ack.flush_ms);
    if (this.#knocks && ack.error === undefined) this.#letIn();
    this.#acked(ack.acked);
    if (ack.error !== undefined) this.#failed(ack.error);
    else if (ack.done) this.#wire!.close();
  }

  closed(why: string): void {
    if (this.#wire) this.fleet.totals.open--;
    this.#wire = undefined;
    if (this.done) return this.fleet.ended(this);
    if (!this.#told) count(this.fleet.totals.broken, why);
    this.#told = false;
    this.#failures++;
    this.#knocks = true;
    const { backoffBaseMs: baseMs, intervalMs: capMs } = limits;
    const retryAfterMs = this.#retryAfterMs;
    const delayMs = retryDelayMs(
      { failures: this.#failures, retryAfterMs, baseMs, capMs },
      this.#random,
    );
    this.#plan(performance.now() + delayMs);
  }

  #letIn(): void {
    this.#dueMs = 0;
    this.due(performance.now());
  }

  #plan(atMs: number): void {
    this.#dueMs = atMs;
    this.fleet.schedule(atMs, this);
  }

  #failed(why: string): void {
    this.#told = true;
    count(this.fleet.totals.refused, why);
    this.#wire!.close();
  }

  #frameEnd(): number {
    const per = this.#unitsPerFrame;
    return Math.min(this.unitEnd, this.#sentUnit + per - (this.#sentUnit + this.#offset) % per);
  }

  #take(end: number, nowMs: number): Uint8Array | undefined {
    const { frames, totals } = this.fleet;
    const frame = frames.frame(this.#sentUnit, end);
    const resent = frames.linesBefore(Math.min(end, this.#everUnit)) -
      frames.linesBefore(Math.min(this.#sentUnit, this.#everUnit));
    totals.resentRecords += resent;
    this.#sentUnit = end;
    this.#everUnit = Math.max(this.#everUnit, end);
    if (!frame) return undefined;
    this.#postBytes += frame.decodedBytes;
    this.#sent.push({ decodedBytes: this.#postBytes, unit: end, atMs: nowMs });
    totals.frames++;
    totals.sentBytes += frame.decodedBytes;
    totals.wireBytes += frame.chunk.length;
    return frame.chunk;
  }

  #acked(bytes: number): void {
    this.#heardMs = performance.now();
    let acked = 0;
    for (; acked < this.#sent.length && this.#sent[acked]!.decodedBytes <= bytes; acked++) {
      const { atMs, unit } = this.#sent[acked]!;
      this.fleet.latencies.add(this.#heardMs - atMs);
      this.ackedUnit = unit;
      this.#failures = 0;
    }
    this.#sent.splice(0, acked);
    this.fleet.totals.ackedBytes += bytes - this.#ackedBytes;
    this.#ackedBytes = bytes;
    // Nothing was said in the last units: what was sent before them is all.
    if (this.#sent.length === 0) this.ackedUnit = this.#sentUnit;
  }

  #flush(ms: number): void {
    const { flushMs } = this.fleet.totals;
    if (this.#flushMs > 0) flushMs[this.#flushMs]!--;
    this.#flushMs = ms;
    count(flushMs, String(ms));
    const units = Math.ceil(ms / this.fleet.unitMs);
    this.#unitsPerFrame = Math.max(1, Math.min(units, this.fleet.unitsMax));
  }
}
