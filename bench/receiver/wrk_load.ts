/**
 * What wrk sends: a Lua file for each run, read by wrk_upload.lua, and the bodies, made once. All are
 * 30 KiB, and no two are the same: one that repeats would compress to nothing in a joined frame.
 *
 * | bodies | each is | sent to us | sent to nginx |
 * |--------|---------|------------|---------------|
 * | text | 30 KiB of lines as `dmesg` prints them | as `curl -T` does: no Content-Encoding | the same bytes |
 * | frame | one zstd frame of our upload format, some 30 KiB, of about 200 KB of records | Content-Encoding: zstd | the same bytes |
 */
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatUploadHeader } from "../../shared/block.ts";
import type { Identity } from "../../shared/identity.ts";
import { escapeText, formatRecord } from "../../shared/record.ts";
import { signToken } from "../../shared/token.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { LogText } from "../../tests/fleet/text.ts";
import { deviceName } from "./devices.ts";

export const bodyKinds = ["text", "frame"] as const;
export type BodyKind = typeof bodyKinds[number];

export const bodyBytes = 30 * 1024;
/** 15 MB in all: what waits for one commit, 64 or 1,024 of them, hardly repeats itself. */
const textBodies = 512;
/** Fewer, since each takes some milliseconds to make. */
const frameBodies = 128;

export interface Bodies {
  kind: BodyKind;
  /** One file, the bodies one behind the other. */
  path: string;
  lengths: number[];
  /** Mean bytes of text in a body. */
  textBytes: number;
}

export function makeBodies(kind: BodyKind, folder: string): Bodies {
  const random = seededRandom(1);
  const count = kind === "text" ? textBodies : frameBodies;
  const made = Array.from({ length: count }, (_, i) => {
    const text = new LogText(random, `router${i}`);
    return kind === "text" ? textBody(text) : frameBody(text);
  });
  const path = join(folder, `${kind}.bodies`);
  writeFileSync(path, Buffer.concat(made.map(({ body }) => body)));
  const textBytes = made.reduce((sum, body) => sum + body.textBytes, 0) / count;
  return { kind, path, lengths: made.map(({ body }) => body.length), textBytes };
}

interface Body {
  body: Uint8Array;
  textBytes: number;
}

/** The last line is cut where the body is full; all end in a newline. */
export function textBody(text: LogText): Body {
  let lines = "";
  for (let uptimeMs = 1; lines.length < bodyBytes; uptimeMs += 100) {
    const time = (uptimeMs / 1000).toFixed(6).padStart(12);
    lines += `[${time}] ${escapeText(text.next().text)}\n`;
  }
  const body = Buffer.from(`${lines.slice(0, bodyBytes - 1)}\n`, "latin1");
  return { body, textBytes: body.length };
}

/** As many records as fit 30 KiB when compressed, or up to 2 % fewer. */
export function frameBody(text: LogText): Body {
  let records = "";
  let count = 0;
  let frame = "";
  let body: Uint8Array = new Uint8Array(0);
  // How it compresses is known after each attempt: the second or third is near enough.
  for (let recordsBytes = 150_000; body.length < 0.98 * bodyBytes;) {
    while (records.length < recordsBytes) records += nextRecord(text, count++);
    frame = formatUploadHeader({ first: 0, last: count - 1, count }) + records;
    body = compressFrame(Buffer.from(frame, "latin1"));
    recordsBytes = 0.99 * records.length * bodyBytes / body.length;
  }
  return { body, textBytes: frame.length };
}

function nextRecord(text: LogText, seq: number): string {
  const line = text.next();
  const usec = 1_000_000 + seq * 100_000;
  const more = line.more.map(escapeText);
  const escaped = escapeText(line.text);
  return formatRecord({ ...line, seq, usec, flag: "-", fields: "", text: escaped, more });
}

/** A request's head around its name: what comes before, what after. */
type Head = readonly [before: string, after: string];

/** A device's uploads; the name is the stream's. Tokens are good for five minutes: for one run. */
export function uploadHeads(devices: Identity[], kind: BodyKind): Promise<Head[]> {
  return Promise.all(devices.map(async (identity) => {
    const token = await signToken(identity, "logmill", Date.now());
    const encoding = kind === "frame" ? "Content-Encoding: zstd\r\n" : "";
    return [
      `PUT /v1/logs HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${token}\r\n` +
      `Logmill-Boot: b1\r\nLogmill-Source: app:bench\r\nLogmill-Stream: `,
      `\r\n${encoding}`,
    ] as const;
  }));
}

/** The same devices, each with a folder; the name is the file's. */
export function fileHeads(devices: Identity[]): Head[] {
  return devices.map((_, i) => [`PUT /${deviceName(i)}/`, ` HTTP/1.1\r\nHost: bench\r\n`]);
}

/** @param tag is in the names of all that this run sends */
export function writeLoad(path: string, tag: string, bodies: Bodies, heads: Head[]): void {
  const lua = [
    `return { tag = ${JSON.stringify(tag)}, corpus = ${JSON.stringify(bodies.path)},`,
    `bodies = { ${bodies.lengths.join(", ")} },`,
    "heads = {",
    // JSON's escapes of \r, \n, \" and \\ are Lua's as well.
    ...heads.map((head) => `{ ${head.map((part) => JSON.stringify(part)).join(", ")} },`),
    "} }\n",
  ];
  writeFileSync(path, lua.join("\n"));
}
