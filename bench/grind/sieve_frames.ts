/**
 * Log text for measuring, as frames of stored text: the simulated fleet's, or any file's lines as the
 * texts of records; in blocks as live traffic makes them (2.5 KB) or as backlogs do (256 KB).
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { formatBlockHeader } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import { escapeText } from "../../shared/record.ts";
import { paddingBytes } from "../../grinder/sieve/frame_matcher.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { LogText } from "../../tests/fleet/text.ts";

export interface Frame {
  /** With room behind the text. */
  bytes: Uint8Array;
  length: number;
}

const devices = 200;

/** `count` frames of about a MiB each; the same each time. */
export function makeFrames(count: number, blockBytes: number, corpus?: string): Frame[] {
  const nextText = corpus === undefined ? fleetText() : fileText(corpus);
  const seqs = new Array<number>(devices).fill(0);
  let recvUs = 1_795_392_000_000_000;
  const block = () => {
    const device = recvUs++ % devices;
    const first = seqs[device]!;
    let records = "";
    while (records.length < blockBytes) {
      const seq = seqs[device]!++;
      records += `6,${seq},${1e9 + 13_377 * seq},-;${escapeText(nextText(device))}\n`;
    }
    const last = seqs[device]! - 1;
    const boot = `0b5f0a4e-9a8c-4f6d-8e2b-${String(device).padStart(12, "0")}`;
    const names = { device: `router${device}`, boot, source: "kmsg", stream: boot };
    return formatBlockHeader({ ...names, recvUs, first, last, count: last - first + 1 }) + records;
  };
  return Array.from({ length: count }, () => {
    let text = "";
    while (text.length + 1.1 * blockBytes < limits.frameTextBytesMax) text += block();
    const bytes = new Uint8Array(text.length + paddingBytes);
    bytes.set(Buffer.from(text, "latin1"));
    return { bytes, length: text.length };
  });
}

function fleetText(): (device: number) => string {
  const texts = Array.from({ length: devices }, (_, i) => new LogText(seededRandom(i), `d${i}`));
  return (device) => texts[device]!.next().text;
}

function fileText(path: string): () => string {
  const lines = readFileSync(path, "utf8").split("\n").filter((line) => line !== "");
  let next = 0;
  return () => lines[next++ % lines.length]!.slice(0, 500);
}
