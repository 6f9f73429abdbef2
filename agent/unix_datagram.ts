/**
 * A Unix datagram socket, one datagram at a time: what /dev/log is. Neither `node:dgram` nor Bun has
 * these sockets, so libc makes and binds it; reading is an ordinary read.
 */
import { Buffer } from "node:buffer";
import { chmodSync, closeSync, lstatSync, readSync, rmSync } from "node:fs";
import process from "node:process";

// <bits/socket.h> of Linux, the same on x86-64 and arm64.
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** `sun_path`, with its final NUL. */
const pathBytesMax = 108;

const libraries = ["libc.so.6", `libc.musl-${machine()}.so.1`, "libc.so"];

/** Datagrams that others send to a path. */
export interface Datagrams {
  /** The next one, undefined if there is none now. Good until the next call. */
  next(): Uint8Array | undefined;
  /** The path goes, too. */
  close(): void;
}

export class DatagramError extends Error {
  override name = "DatagramError";

  /** `in_use`: another program receives there. `no_ffi`: this runtime can't have such sockets. */
  constructor(readonly code: "in_use" | "no_ffi" | "cannot_bind", message: string) {
    super(message);
  }
}

/**
 * Binds a socket that every user may send to. A socket file that nobody receives at any more is
 * replaced. Throws `DatagramError`.
 */
export async function openDatagrams(path: string, bytesMax: number): Promise<Datagrams> {
  const libc = await openLibc();
  const address = Buffer.alloc(2 + pathBytesMax);
  const pathBytes = Buffer.from(path);
  if (pathBytes.length >= pathBytesMax) {
    const max = pathBytesMax - 1;
    throw new DatagramError("cannot_bind", `Cannot use ${path} because it must be ${max} bytes`);
  }
  // Of the machine's own byte order; both that Bun runs on are little-endian.
  address.writeUInt16LE(AF_UNIX, 0);
  pathBytes.copy(address, 2);
  const length = 2 + pathBytes.length + 1;
  const open = () => libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

  const isSocket = lstatSync(path, { throwIfNoEntry: false })?.isSocket();
  if (isSocket) {
    const probe = open();
    const isAlive = libc.connect(probe, address, length) === 0;
    closeSync(probe);
    if (isAlive) {
      throw new DatagramError("in_use", `Cannot receive at ${path}: another program does`);
    }
    rmSync(path);
  }
  const fd = open();
  if (fd < 0 || libc.bind(fd, address, length) !== 0) {
    if (fd >= 0) closeSync(fd);
    throw new DatagramError("cannot_bind", `Cannot receive at ${path}: it can't be bound`);
  }
  chmodSync(path, 0o666);
  return received(fd, path, bytesMax);
}

function received(fd: number, path: string, bytesMax: number): Datagrams {
  const buffer = Buffer.alloc(bytesMax);
  return {
    next() {
      try {
        return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, null));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EAGAIN" || code === "EINTR") return undefined;
        throw error;
      }
    },
    close() {
      closeSync(fd);
      rmSync(path, { force: true });
    },
  };
}

interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
}

async function openLibc(): Promise<Libc> {
  try {
    const { dlopen } = await import("bun:ffi");
    const i32 = "i32" as const;
    const withAddress = { args: [i32, "ptr", "u32"], returns: i32 } as const;
    for (const library of libraries) {
      try {
        return dlopen(library, {
          socket: { args: [i32, i32, i32], returns: i32 },
          bind: withAddress,
          connect: withAddress,
        }).symbols as unknown as Libc;
      } catch { /* this system's libc has another name */ }
    }
  } catch { /* not Bun */ }
  throw new DatagramError("no_ffi", "Cannot make a datagram socket because libc can't be called");
}

function machine(): string {
  return process.arch === "arm64" ? "aarch64" : "x86_64";
}
