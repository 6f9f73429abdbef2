/**
 * What programs give to syslog(3) as a source: the agent is at the other end of /dev/log, and no
 * syslogd is needed.
 *
 * Programs send one datagram for a message. Where the runtime has no datagram sockets the path takes
 * connections, which glibc falls back to; musl and busybox don't, and are not heard then.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { chmodSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { limits } from "../shared/limits.ts";
import { gapRecord, type LogRecord } from "../shared/record.ts";
import { escapeBytes } from "./raw_lines.ts";
import type { Source } from "./source.ts";
import { DatagramError, type Datagrams, openDatagrams } from "./unix_datagram.ts";

/** The kernel's ring is looked at as often. */
const idlePollMs = 50;
/**
 * While messages come: a socket holds ten of them (net.unix.max_dgram_qlen), and then their senders
 * wait for us.
 */
const busyPollMs = 1;
/** For so many empty looks it still counts as busy. */
const busyLooks = 100;
/** Messages taken at a look: somebody may send as fast as we take. */
const takeMax = 1_000;
/** RFC 3164, 4.3.3: facility user, level notice. */
const defaultPrio = 13;
/** What a queued message takes beside its text. Picked from the air. */
const messageOverheadBytes = 100;

export interface SyslogMessage {
  prio: number;
  /** As stored: escaped. */
  text: string;
}

const head = /^<(\d{1,3})>/;
/** As glibc writes it. */
const date = /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d /;

/** Reads `<PRI>Mmm dd hh:mm:ss tag[pid]: text`; whatever is missing of that may be. */
export function parseSyslog(bytes: Uint8Array): SyslogMessage {
  let end = bytes.length;
  // Some send the end of the string, or of the line, too.
  while (end > 0 && (bytes[end - 1] === 0 || bytes[end - 1] === 0x0a)) end--;
  return parseEscaped(escapeBytes(bytes.subarray(0, end)));
}

/** The same of a message that is escaped already. */
export function parseEscaped(text: string): SyslogMessage {
  const pri = head.exec(text);
  const isPrio = pri !== null && Number(pri[1]) <= 191;
  const rest = isPrio ? text.slice(pri[0].length) : text;
  // The time is dropped: it has no year and no zone, and ours is of the clock that all records have.
  return { prio: isPrio ? Number(pri[1]) : defaultPrio, text: rest.replace(date, "") };
}

export interface SyslogOptions {
  boot: string;
  /** The kernel's clock, which orders these messages among the kernel's own. */
  nowUs: () => number;
}

/** Messages in, records out. What isn't taken in time is dropped and counted: programs mustn't hang. */
export class SyslogSource implements Source {
  readonly source = "app:syslog";
  readonly boot: string;
  readonly stream = randomBytes(9).toString("hex");
  #queue: LogRecord[] = [];
  #bytes = 0;
  #dropped = 0;
  #nextSeq = 0;
  #closed = false;
  #wake = Promise.withResolvers<void>();
  /** Takes what has come and hasn't been looked at yet. */
  lastLook = () => {};

  constructor(private readonly options: SyslogOptions) {
    this.boot = options.boot;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Takes one message as it came. */
  push(bytes: Uint8Array): void {
    const { prio, text } = parseSyslog(bytes);
    if (text === "") return;
    if (this.#bytes + text.length > limits.syslogQueueBytes) return void this.#dropped++;
    this.#sayDropped();
    const [seq, usec] = [this.#nextSeq++, this.options.nowUs()];
    this.#add({ prio, seq, usec, flag: "-", fields: "", text, more: [] });
  }

  async read(): Promise<LogRecord[] | undefined> {
    for (;;) {
      if (this.#queue.length === 0) this.#sayDropped();
      if (this.#queue.length > 0) break;
      if (this.#closed) return undefined;
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
    const records = this.#queue;
    this.#queue = [];
    this.#bytes = 0;
    return records;
  }

  /** The queue is short: in an outage the spool decides what goes. */
  safe(): boolean {
    return this.#bytes < limits.syslogQueueBytes / 2;
  }

  /** What came until now is still read. */
  close(): void {
    if (!this.#closed) this.lastLook();
    this.#closed = true;
    this.#wake.resolve();
  }

  /** Behind what was taken, before what is next. They were never given a seq. */
  #sayDropped(): void {
    if (this.#dropped === 0) return;
    const gap = { count: this.#dropped, cause: "overrun" } as const;
    this.#dropped = 0;
    this.#add(gapRecord(this.#nextSeq, this.options.nowUs(), gap));
  }

  #add(record: LogRecord): void {
    this.#queue.push(record);
    this.#bytes += record.text.length + messageOverheadBytes;
    this.#wake.resolve();
  }
}

export interface OpenSyslogOptions extends SyslogOptions {
  /** Usually /dev/log. */
  path: string;
  sleep: (ms: number) => Promise<void>;
  report: (text: string) => void;
  /** For tests of runtimes without datagram sockets. */
  open?: (path: string, bytesMax: number) => Promise<Datagrams>;
}

/** Receives at a path until the source is closed. Throws `DatagramError` if another program does. */
export async function openSyslog(options: OpenSyslogOptions): Promise<SyslogSource> {
  const { path, report, sleep, open = openDatagrams } = options;
  const source = new SyslogSource(options);
  try {
    void receive(await open(path, limits.syslogMessageBytesMax), source, sleep);
  } catch (error) {
    if (!(error instanceof DatagramError) || error.code !== "no_ffi") throw error;
    report(`${path} takes connections only: programs with glibc are heard, others aren't`);
    await listen(path, source);
  }
  return source;
}

async function receive(
  datagrams: Datagrams,
  source: SyslogSource,
  sleep: (ms: number) => Promise<void>,
): Promise<void> {
  let idleLooks = busyLooks;
  const look = () => {
    idleLooks++;
    for (let taken = 0; taken < takeMax; taken++) {
      const bytes = datagrams.next();
      if (!bytes) return;
      source.push(bytes);
      idleLooks = 0;
    }
  };
  source.lastLook = () => {
    look();
    datagrams.close();
  };
  while (!source.closed) {
    look();
    await sleep(idleLooks < busyLooks ? busyPollMs : idlePollMs);
  }
}

async function listen(path: string, source: SyslogSource): Promise<void> {
  if (await isLeftBehind(path)) rmSync(path);
  const server = createServer((socket) => takeMessages(socket, source));
  server.maxConnections = limits.syslogConnectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o666);
  server.unref();
}

/** A socket file of a program that was killed. */
function isLeftBehind(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => resolve(false)).once(
      "error",
      (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"),
    );
    probe.once("connect", () => probe.destroy());
  });
}

/** On a connection glibc ends a message with NUL, others with a newline. */
function takeMessages(socket: Socket, source: SyslogSource): void {
  let held = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    for (let end = messageEnd(held); end >= 0; end = messageEnd(held)) {
      source.push(held.subarray(0, end));
      held = held.subarray(end + 1);
    }
    if (held.length <= limits.syslogMessageBytesMax) return;
    source.push(held);
    held = Buffer.alloc(0);
  });
  socket.on("end", () => source.push(held));
  socket.on("error", () => {});
}

function messageEnd(bytes: Buffer): number {
  return bytes.findIndex((byte) => byte === 0 || byte === 0x0a);
}
