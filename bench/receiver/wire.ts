/**
 * HTTP/1.1 on a bare socket, as little as a generator of load needs: bytes are written as they are, and
 * the answer is read as it comes, status first, then lines of JSON.
 */
import { Buffer } from "node:buffer";
import type { Socket } from "bun";
import { deviceName } from "./devices.ts";

/** What a sender is told of its answer. */
export interface Listener {
  /** The connection is there; nothing is sent yet. */
  opened(wire: Wire): void;
  status(status: number, header: (name: string) => string | undefined): void;
  /** A line of the body, or what there is of a body without one. */
  line(text: string): void;
  /** The end of this connection, whoever ended it. Once. */
  closed(why: string): void;
}

const headEnd = "\r\n\r\n";

export class Wire {
  /** What the socket had no room for. */
  #waiting: Uint8Array[] = [];
  #head = "";
  #headDone = false;
  #rest = "";
  #closed = false;

  private constructor(private readonly socket: Socket<unknown>, private readonly to: Listener) {}

  static connect(hostname: string, port: number, to: Listener): void {
    let wire: Wire | undefined;
    let closed = false;
    const close = (why: string) => {
      if (closed) return;
      closed = true;
      wire?.forget();
      to.closed(why);
    };
    void Bun.connect({
      hostname,
      port,
      socket: {
        open(socket) {
          wire = new Wire(socket, to);
          to.opened(wire);
        },
        data: (_, bytes) => wire!.#read(bytes),
        drain: () => wire!.#flush(),
        close: () => close("closed"),
        error: (_, error) => close(error.message),
        connectError: (_, error) => close(`connect: ${(error as { code?: string }).code}`),
      },
    }).catch((error) => close(`connect: ${error.code ?? error.message}`));
  }

  /** Bytes that the socket hasn't taken. */
  get waitingBytes(): number {
    return this.#waiting.reduce((sum, part) => sum + part.length, 0);
  }

  write(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (this.#waiting.length > 0) return void this.#waiting.push(bytes);
    const written = this.socket.write(bytes);
    if (written < bytes.length) this.#waiting.push(bytes.subarray(Math.max(0, written)));
  }

  close(): void {
    if (this.#closed) return;
    this.forget();
    this.socket.terminate();
  }

  forget(): void {
    this.#closed = true;
    this.#waiting = [];
  }

  #flush(): void {
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]!;
      const written = Math.max(0, this.socket.write(next));
      if (written < next.length) return void (this.#waiting[0] = next.subarray(written));
      this.#waiting.shift();
    }
  }

  #read(bytes: Buffer): void {
    let text = bytes.toString("latin1");
    if (!this.#headDone) {
      this.#head += text;
      const end = this.#head.indexOf(headEnd);
      if (end < 0) return;
      this.#headDone = true;
      text = this.#head.slice(end + headEnd.length);
      const head = this.#head.slice(0, end);
      this.#head = "";
      this.to.status(Number(head.slice(9, 12)), (name) => headerOf(head, name));
    }
    this.#lines(text);
  }

  /** The lengths of chunks lie between the lines; only lines of JSON are passed on. */
  #lines(text: string): void {
    const parts = (this.#rest + text).split("\n");
    this.#rest = parts.pop()!;
    if (this.#rest.startsWith("{") && this.#rest.endsWith("}")) {
      parts.push(this.#rest);
      this.#rest = "";
    }
    // A listener may close the connection at a line: it is told no more then.
    for (const part of parts) if (part.startsWith("{") && !this.#closed) this.to.line(part);
  }
}

function headerOf(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: *(.*?)\\r?$`, "im").exec(head)?.[1];
}

export interface PostHead {
  host: string;
  token: string;
  device: number;
  mode: "live" | "bulk";
  ack: "live" | "end";
}

/** The head of one device's POST with a chunked body. */
export function postHead({ host, token, device, mode, ack }: PostHead): Uint8Array {
  return Buffer.from(
    [
      "POST /v1/logs HTTP/1.1",
      `Host: ${host}`,
      `Authorization: Bearer ${token}`,
      "Logmill-Boot: 00000000-0000-4000-8000-000000000000",
      "Logmill-Source: kmsg",
      `Logmill-Stream: ${deviceName(device)}`,
      "Content-Encoding: zstd",
      `Logmill-Mode: ${mode}`,
      `Logmill-Ack: ${ack}`,
      "Transfer-Encoding: chunked",
    ].join("\r\n") + headEnd,
  );
}

export const lastChunk = Buffer.from("0\r\n\r\n");
