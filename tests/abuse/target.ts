/** The receiver's real process with a device that is let in; and what talks to it in bytes, not in HTTP. */
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { type Block, readBlocks } from "../../shared/block.ts";
import type { Identity } from "../../shared/identity.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { signToken } from "../../shared/token.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { newIdentity, TemporaryFolder } from "../fixtures.ts";
import { type Program, startReceiver } from "../programs.ts";

export const device = "kiosk-7";

/** A connection whose bytes the test writes itself. It keeps what comes back until it ends. */
export class Line {
  readonly #socket: Socket;
  #got = "";
  #ended = false;
  #wake: () => void = () => {};
  /** Resolves when the other side has ended it, or broken it. */
  readonly ended: Promise<void>;

  constructor(port: number, options: { deaf?: boolean } = {}) {
    this.#socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    if (!options.deaf) this.#socket.on("data", (bytes) => this.#take(Buffer.from(bytes)));
    // A reset is one of the ways in which it may end.
    this.#socket.on("error", () => {});
    this.ended = new Promise((resolve) => {
      for (const event of ["end", "close"]) this.#socket.once(event, () => resolve());
    });
    void this.ended.then(() => {
      this.#ended = true;
      this.#wake();
    });
  }

  get got(): string {
    return this.#got;
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  send(bytes: string | Uint8Array): void {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Waits until the kernel has taken all that was sent, or `ms` have passed: true if it has. */
  async flushed(ms: number): Promise<boolean> {
    const endMs = performance.now() + ms;
    while (this.#socket.writableLength > 0 && performance.now() < endMs) await pause(10);
    return this.#socket.writableLength === 0;
  }

  /** A FIN: nothing more will be sent, but what comes back is read. */
  halfClose(): void {
    this.#socket.end();
  }

  /** A RST. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** What has come when it matches; what has come at all, when it ended before. */
  async says(pattern: RegExp, ms = 10_000): Promise<string> {
    const endMs = performance.now() + ms;
    while (!pattern.test(this.#got) && !this.#ended && performance.now() < endMs) {
      await Promise.race([new Promise<void>((wake) => this.#wake = wake), pause(100)]);
    }
    return this.#got;
  }

  /** The statuses of all answers that have come. */
  get statuses(): number[] {
    return [...this.#got.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
  }

  #take(bytes: Buffer): void {
    this.#got += bytes.toString("latin1");
    this.#wake();
  }
}

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export class Target implements AsyncDisposable {
  #sent = 0;
  readonly #lines: Line[] = [];

  private constructor(
    readonly folder: TemporaryFolder,
    readonly program: Program,
    readonly url: string,
    readonly identity: Identity,
  ) {}

  static async start(...options: string[]): Promise<Target> {
    const folder = new TemporaryFolder();
    const identity = await newIdentity();
    const { thumbprint } = identity;
    writeFileSync(join(folder.path, "devices"), `${thumbprint} ${device}\n`);
    const { program, url } = await startReceiver(folder.path, "--port", "0", ...options);
    return new Target(folder, program, url, identity);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  line(options?: { deaf?: boolean }): Line {
    const line = new Line(this.port, options);
    this.#lines.push(line);
    return line;
  }

  authorization(identity = this.identity): Promise<string> {
    return signToken(identity, "logmill", Date.now()).then((token) => `Bearer ${token}`);
  }

  /** Lets in as many others, and no more than them and our device; gives what they authorize themselves by. */
  async admit(count: number, ...otherLines: string[]): Promise<string[]> {
    const others = await Promise.all(Array.from({ length: count }, newIdentity));
    const lines = others.map(({ thumbprint }, i) => `${thumbprint} other-${i}`);
    await this.writeList(
      [...lines, ...otherLines, `${this.identity.thumbprint} ${device}`],
      count + 1,
    );
    return await Promise.all(others.map((identity) => this.authorization(identity)));
  }

  /** Waits until the receiver has read it, and has found so many devices in it. */
  async writeList(lines: string[], devices: number): Promise<void> {
    writeFileSync(join(this.folder.path, "devices"), lines.map((line) => `${line}\n`).join(""));
    const endMs = performance.now() + 10_000;
    while (await this.metric("logmill_devices") !== devices) {
      if (performance.now() > endMs) throw new Error("the allow-list isn't taken as it should be");
      await pause(50);
    }
  }

  /** The head of a POST of frames, up to and with its empty line. */
  async head(more: Record<string, string> = {}, requestLine = "POST /v1/logs HTTP/1.1") {
    const headers: Record<string, string> = {
      "Host": "receiver",
      "Authorization": await this.authorization(),
      "Content-Encoding": "zstd",
      "Logmill-Boot": "boot-1",
      "Logmill-Source": "kmsg",
      "Logmill-Stream": "stream-1",
      ...more,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${requestLine}\r\n${lines.join("")}\r\n`;
  }

  /** Names that no other upload of this test has; an upload like any other must work, as ever. */
  async upload(): Promise<{ status: number; acked: unknown; stored: boolean }> {
    const boot = `normal-${this.#sent++}`;
    const text = `#0 0 0 1\n6,0,1,-;${boot}\n`;
    const response = await fetch(`${this.url}v1/logs`, {
      method: "POST",
      headers: {
        "Authorization": await this.authorization(),
        "Content-Encoding": "zstd",
        "Logmill-Boot": boot,
        "Logmill-Source": "kmsg",
        "Logmill-Stream": "s",
      },
      body: new Uint8Array(compressFrame(Buffer.from(text))),
    });
    const { acked } = await response.json() as { acked?: unknown };
    const stored = (await this.blocks()).some(({ header }) => header.boot === boot);
    return { status: response.status, acked: acked === text.length, stored };
  }

  /** Everything that is stored; what is damaged throws. */
  async blocks(): Promise<Block[]> {
    const blocks: Block[] = [];
    const bad = (text: string) => {
      throw new Error(`no block: ${text}`);
    };
    for await (const { text, damage } of readNew(new FolderStorage(this.folder.path), new Map())) {
      if (damage) throw new Error(damage);
      if (text) blocks.push(...readBlocks(text, bad));
    }
    return blocks;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}metrics`)).text();
    const values = text.split("\n").filter((line) =>
      line.startsWith(name) && !line.startsWith("#")
    );
    return values.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Waits until no stream is open and no byte waits for its commit; what is left, where it isn't so. */
  async held(ms = 5_000): Promise<{ streams: number; bytes: number }> {
    const endMs = performance.now() + ms;
    for (;;) {
      const streams = await this.metric("logmill_streams{");
      const bytes = await this.metric("logmill_in_flight_bytes{");
      if ((streams === 0 && bytes === 0) || performance.now() > endMs) return { streams, bytes };
      await pause(50);
    }
  }

  rssBytes = () => this.metric("process_resident_memory_bytes");

  async [Symbol.asyncDispose](): Promise<void> {
    for (const line of this.#lines) line.close();
    if (this.program.running) await this.program.kill();
    this.folder[Symbol.dispose]();
  }
}

/** Nothing is left of what was done to it, and it works. */
export const asEver = [{ status: 200, acked: true, stored: true }, { streams: 0, bytes: 0 }];

export async function state(target: Target, ms?: number) {
  // What has just been closed may still count as its device's share.
  await target.held(ms);
  return [await target.upload(), await target.held(ms)];
}

export const frame = (seq: number, text = `line ${seq}`) =>
  compressFrame(Buffer.from(`#0 ${seq} ${seq} 1\n6,${seq},1,-;${text}\n`));

/** A chunk of a chunked body. */
export const chunk = (bytes: Uint8Array) =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);

export const lastChunk = "0\r\n\r\n";
export const chunked = { "Transfer-Encoding": "chunked" };
