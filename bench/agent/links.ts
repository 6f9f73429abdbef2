/**
 * What stands between a program that is measured and where it sends to: a port on 127.0.0.1 that counts
 * the bytes of the connection, both ways. HTTP's headers are in it; TCP's, IP's and UDP's are not.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createInflate } from "node:zlib";

export class Link {
  up = 0;
  down = 0;
  /** Reads that gave something: about the packets, where they are few. */
  upReads = 0;
  downReads = 0;
  connections = 0;
  /** Lines that arrived, where this is the end of the way. */
  lines = 0;
  close = () => {};

  constructor(public port = 0) {}

  countUp(chunk: Uint8Array | string): void {
    this.up += chunk.length;
    this.upReads++;
  }

  countDown(chunk: Uint8Array | string): void {
    this.down += chunk.length;
    this.downReads++;
  }
}

/** Passes everything on to another port of this machine. */
export async function countingProxy(targetPort: number): Promise<Link> {
  return await tcpLink((link, client) => {
    const server = connect(targetPort, "127.0.0.1");
    client.on("data", (chunk) => link.countUp(chunk)).pipe(server);
    server.on("data", (chunk) => link.countDown(chunk)).pipe(client);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => [client, server].forEach((one) => one.destroy()));
    }
  });
}

/** The end of the way for lines over TCP, as they are or as one zlib stream for each connection. */
export async function countingSink(format: "plain" | "zlib"): Promise<Link> {
  return await tcpLink((link, client) => {
    const countLines = (chunk: Uint8Array) => {
      for (const byte of chunk) if (byte === 10) link.lines++;
    };
    const text = format === "zlib" ? client.pipe(createInflate()) : client;
    client.on("data", (chunk) => link.countUp(chunk)).on("error", () => {});
    text.on("data", countLines).on("error", () => {});
  });
}

async function tcpLink(accept: (link: Link, client: Socket) => void): Promise<Link> {
  const link = new Link();
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    link.connections++;
    sockets.add(client);
    client.once("close", () => sockets.delete(client));
    accept(link, client);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  link.port = (server.address() as AddressInfo).port;
  link.close = () => {
    server.close();
    sockets.forEach((socket) => socket.destroy());
  };
  return link;
}

/** One line is one datagram. */
export async function countingDatagramSink(): Promise<Link> {
  const link = new Link();
  const socket = createSocket("udp4").on("message", (message) => {
    link.countUp(message);
    link.lines++;
  }).bind(0, "127.0.0.1");
  await once(socket, "listening");
  link.port = socket.address().port;
  link.close = () => socket.close();
  return link;
}
