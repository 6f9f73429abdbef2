/**
 * A Unix stream socket for the output of many programs: one process for all of them, where a runtime
 * for each would be too much. A connection's bytes:
 *
 *     NAME [BURST] [DAY]\n           which program this is, as `logmill-agent logos` takes it
 *     LINE\n ...                     its output, until it closes
 *
 * Each connection has buckets of its own. A first line that won't do is answered with what is wrong,
 * and the connection closed; nothing else is ever sent back.
 */
import { Buffer } from "node:buffer";
import { chmodSync, lstatSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Logos, LogosError, type LogosOptions, parseProgram, tickMs } from "./logos.ts";
import { untilQuiet } from "./quiet.ts";

/** Some 10 KiB of memory and one open file each; no device runs so many programs. */
const connectionsMax = 1_000;
/** A name of at most 128 bytes and two numbers. */
const firstLineBytesMax = 256;
/** A connection that doesn't say what it is in so long would only hold its place. */
const firstLineMs = 10_000;
/** Anybody may log, as with /dev/log: it can't be read, and each connection is limited. */
const socketMode = 0o666;

const newline = 0x0a;

export interface LogosSocketOptions extends Pick<LogosOptions, "write" | "nowMs"> {
  /** Takes what should be known about the socket itself. Never write it to the log it serves. */
  report: (text: string) => void;
  connectionsMax?: number;
  firstLineMs?: number;
}

export interface LogosSocket {
  /** Takes no more connections, reads what was written before, and removes the socket. */
  close(): Promise<void>;
}

export class LogosSocketError extends Error {
  override name = "LogosSocketError";
  readonly code = "no_socket";
}

/** Resolves when programs can connect. Throws `LogosSocketError` where there can be no socket. */
export async function serveLogosSocket(
  path: string,
  options: LogosSocketOptions,
): Promise<LogosSocket> {
  await removeStale(path);
  const connections = new Connections(options);
  const server = createServer((socket) => connections.add(socket));
  await listen(server, path);
  // Until here nobody but this process's user can connect: others try again.
  chmodSync(path, socketMode);
  const ticks = setInterval(() => connections.tick(), tickMs);
  return {
    async close() {
      clearInterval(ticks);
      const closed = new Promise((resolve) => server.close(resolve));
      await connections.close();
      await closed;
      rmSync(path, { force: true });
    },
  };
}

/**
 * Removes a socket that a process which is gone has left behind. Two that start in the same
 * millisecond can both find it stale: the one that listens last has the path.
 */
async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const refuse = (must: string, is: string) => {
    throw new LogosSocketError(`Cannot listen on ${path} because it must be ${must}: ${is}`);
  };
  if (!stat.isSocket()) refuse("a socket or nothing", "something else is there");
  if (await answers(path)) refuse("free", "another process listens on it");
  rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on("error", (error) => {
      const message =
        `Cannot listen on ${path} because its folder must be writable, and it must be ` +
        `at most 107 bytes long: ${error.message}`;
      reject(new LogosSocketError(message, { cause: error }));
    });
    server.listen(path, () => resolve());
  });
}

/** All that are open, at most `connectionsMax`. */
class Connections {
  readonly #open = new Set<Connection>();
  /** Since the limit was reached. */
  #refused = 0;

  constructor(private readonly options: LogosSocketOptions) {}

  add(socket: Socket): void {
    // A client that is gone is told by "close".
    socket.on("error", () => {});
    const most = this.options.connectionsMax ?? connectionsMax;
    if (this.#open.size >= most) return this.#refuse(socket, most);
    const connection = new Connection(socket, this.options);
    this.#open.add(connection);
    socket.on("close", () => {
      this.#open.delete(connection);
      connection.end();
      this.#reportRefused();
    });
  }

  tick(): void {
    for (const connection of this.#open) connection.tick();
  }

  async close(): Promise<void> {
    await untilQuiet(
      () => [...this.#open].reduce((bytes, connection) => bytes + connection.bytesRead, 0),
      (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    );
    for (const connection of this.#open) connection.end();
    for (const connection of this.#open) connection.destroy();
  }

  #refuse(socket: Socket, most: number): void {
    if (this.#refused++ === 0) {
      this.options.report(`refusing programs because ${most} are connected, the most there may be`);
    }
    socket.end(`Cannot log because at most ${most} programs may be connected\n`);
    socket.destroySoon();
  }

  #reportRefused(): void {
    if (this.#refused === 0) return;
    this.options.report(`taking programs again; ${this.#refused} were refused`);
    this.#refused = 0;
  }
}

class Connection {
  bytesRead = 0;
  /** The first line, until it is complete. */
  #firstLine = Buffer.alloc(0);
  #logos: Logos | undefined;
  #hasEnded = false;

  constructor(private readonly socket: Socket, private readonly options: LogosSocketOptions) {
    socket.on("data", (bytes) => this.#take(bytes as Uint8Array));
    socket.setTimeout(options.firstLineMs ?? firstLineMs, () => {
      this.#reject("Cannot log because the first line must come at once: it is missing");
    });
  }

  tick(): void {
    this.#logos?.tick();
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#logos?.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #take(bytes: Uint8Array): void {
    if (this.#hasEnded) return;
    this.bytesRead += bytes.length;
    if (this.#logos) return this.#logos.push(bytes);
    const end = bytes.indexOf(newline);
    this.#firstLine = Buffer.concat([
      this.#firstLine,
      bytes.subarray(0, end < 0 ? undefined : end),
    ]);
    if (this.#firstLine.length > firstLineBytesMax) {
      return this.#reject(`Cannot log because NAME must come in ${firstLineBytesMax} bytes`);
    }
    if (end >= 0) this.#begin(bytes.subarray(end + 1));
  }

  #begin(rest: Uint8Array): void {
    const words = this.#firstLine.toString("utf8").trim().split(/\s+/);
    try {
      const { write, nowMs } = this.options;
      this.#logos = new Logos({ ...parseProgram(words), write, nowMs });
    } catch (error) {
      if (!(error instanceof LogosError)) throw error;
      return this.#reject(error.message);
    }
    this.socket.setTimeout(0);
    this.#logos.push(rest);
  }

  #reject(why: string): void {
    this.end();
    this.socket.end(`${why}\n`);
    this.socket.destroySoon();
  }
}
