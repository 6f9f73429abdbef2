/**
 * One upload: a valid one is drawn from a seed and a number, mutations change it, and with it what is to
 * be expected. Everything of it follows from seed, number and the names of its mutations.
 */
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { limits } from "../../shared/limits.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { type Draw, fnv1a } from "./draw.ts";
import type { Sender, World } from "./senders.ts";

export interface Frame {
  /** `#0 FIRST LAST COUNT`. */
  head: string;
  /** What is to be stored of it. A byte string. */
  records: string;
  /** As sent. */
  bytes: Uint8Array;
}

export type Ending = "close" | "broken" | "never";

export class Upload {
  method = "POST";
  path = "/v1/logs";
  headers: Array<[string, string]>;
  frames: Frame[] = [];
  /** Of a raw upload. A byte string. */
  text = "";
  /** In the place of the frames or the text. */
  body: Uint8Array | undefined;
  ending: Ending = "close";
  /** The sender doesn't wait for its answer. */
  leaves = false;
  /** "ok", or the code of a refusal. */
  readonly outcomes = new Set<string>(["ok"]);
  /** Only the receiver can tell what is stored if the outcome is "ok". */
  unknown = false;
  /** What must be stored at the least, whatever the outcome; the beginning of `stored`. */
  kept = "";
  /** With a refusal, no more than `kept` may be stored. */
  keptExactly = true;
  readonly mutations: string[] = [];

  constructor(
    readonly number: number,
    readonly world: World,
    readonly sender: Sender,
    readonly kind: "frames" | "raw" | "gzip",
  ) {
    this.headers = [["Authorization", `Bearer ${sender.token}`], ["Logmill-Boot", `b${number}`]];
    if (kind === "frames") {
      this.headers.push(["Content-Encoding", "zstd"]);
      this.headers.push(["Logmill-Source", "kmsg"], ["Logmill-Stream", `s${number}`]);
    }
    if (kind === "gzip") this.headers.push(["Content-Encoding", "gzip"]);
  }

  /** Says whose text this is, in a form that no other text takes by chance. */
  get marker(): string {
    const name = `${this.sender.name}/${this.number}`;
    return `<${name}/${fnv1a(name).toString(16)}>`;
  }

  header(name: string): string | undefined {
    return this.headers.find(([key]) => key === name)?.[1];
  }

  set(name: string, value: string | undefined): void {
    this.headers = this.headers.filter(([key]) => key !== name);
    if (value !== undefined) this.headers.push([name, value]);
  }

  /** The outcome must be one of these refusals. */
  refuse(...codes: string[]): void {
    this.outcomes.delete("ok");
    for (const code of codes) this.outcomes.add(code);
  }

  /** The outcome may be one of these refusals. */
  mayRefuse(...codes: string[]): void {
    for (const code of codes) this.outcomes.add(code);
  }

  /** The frames before the `k`th are stored, the others aren't. */
  spoil(k: number, ...codes: string[]): void {
    this.refuse(...codes);
    this.kept = this.frames.slice(0, k).map(({ records }) => records).join("");
  }

  /** The same where the `k`th frame may be taken all the same. */
  maySpoil(k: number, ...codes: string[]): void {
    const ok = this.outcomes.has("ok");
    this.spoil(k, ...codes);
    if (ok) this.outcomes.add("ok");
    this.keptExactly = false;
  }

  /** What is stored behind `kept` can't be told. */
  loosen(kept = ""): void {
    this.kept = kept;
    this.keptExactly = false;
    this.unknown = true;
  }

  /** Gives the `k`th frame another text. */
  rewrite(k: number, head: string, records: string): void {
    const bytes = compressFrame(Buffer.from(`${head}\n${records}`, "latin1"));
    this.frames[k] = { head, records, bytes };
  }

  /** The body as it is sent, in one piece. */
  whole(): Uint8Array {
    if (this.body) return this.body;
    if (this.kind === "frames") return Buffer.concat(this.frames.map(({ bytes }) => bytes));
    const text = Buffer.from(this.text, "latin1");
    return this.kind === "gzip" ? gzipSync(text, { level: 1 }) : text;
  }

  /** What must be stored if the outcome is "ok". */
  get stored(): string | undefined {
    if (this.unknown) return undefined;
    if (this.kind !== "frames") return storedLines(this.text);
    return this.frames.map(({ records }) => records).join("");
  }

  /** Decoded bytes of all of it: what is acknowledged at the end. */
  get textBytes(): number {
    if (this.kind !== "frames") return this.text.length;
    return this.frames.reduce(
      (sum, { head, records }) => sum + head.length + 1 + records.length,
      0,
    );
  }
}

/** How raw lines are stored, said as simply as it goes. */
export function storedLines(text: string): string {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const most = limits.rawLineBytesMax;
  const pieces = lines.flatMap((line) =>
    Array.from(
      { length: Math.ceil(line.length / most) || 1 },
      (_, i) => line.slice(i * most, (i + 1) * most),
    )
  );
  return pieces.map((piece) => `${piece.replace(/^#/, "\\x23")}\n`).join("");
}

/** A valid upload. */
export function drawUpload(number: number, world: World, draw: Draw): Upload {
  const kind = draw.weighted([
    { kind: "frames" as const, weight: 6 },
    { kind: "raw" as const, weight: 2 },
    { kind: "gzip" as const, weight: 2 },
  ]).kind;
  const upload = new Upload(number, world, world.senders[number % world.senders.length]!, kind);
  if (kind === "frames") drawFrames(upload, draw);
  else upload.text = drawLines(upload, draw);
  if (draw.chance(0.4)) upload.set("Logmill-Ack", "live");
  if (draw.chance(0.2)) upload.set("Logmill-Mode", "bulk");
  if (draw.chance(0.1)) upload.method = "PUT";
  return upload;
}

function drawFrames(upload: Upload, draw: Draw): void {
  let seq = draw.between(0, 1_000);
  for (let k = draw.between(1, 5); k > 0; k--) {
    const count = draw.between(1, 8);
    const first = seq;
    const records = Array.from({ length: count }, () => drawRecord(seq++, upload.marker, draw));
    const head = `#0 ${first} ${seq - 1} ${count}`;
    upload.rewrite(upload.frames.length, head, records.join(""));
  }
}

function drawRecord(seq: number, marker: string, draw: Draw): string {
  const record = `${draw.between(0, 192)},${seq},${seq * 1000},-;line ${marker}\n`;
  const beside = draw.pick([
    "",
    "",
    "",
    " SUBSYSTEM=usb\n DEVICE=+usb:1-1\n",
    `6,${seq},1,g,first=1,last=?,count=3,cause=lost;gap\n`,
    `6,${seq},1,s,wall_us=1795348800000000,synced=1;\n`,
    "6,1,1,c;\\xc3\\xa4 \xff\x00\x7f\n",
  ]);
  return record + beside;
}

function drawLines(upload: Upload, draw: Draw): string {
  const lines = Array.from({ length: draw.between(1, 20) }, (_, i) => {
    const line = draw.pick([`[    ${i}.0] text`, `<${i}>text`, "# text", "", " text", "\ttext\r"]);
    return `${line}${i === 0 || line ? ` ${upload.marker}` : ""}\n`;
  });
  return lines.join("");
}
