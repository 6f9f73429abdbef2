/**
 * What was answered and what was stored, against what was to be expected: complaints come out.
 *
 * | rule | |
 * |------|-|
 * | an answer is one of those expected, with the status of its code | never 500 |
 * | a valid upload is stored exactly, and all of its bytes are acknowledged | |
 * | a refused one is stored as far as it was right | no further |
 * | each block's DEVICE is the one whose key signed | markers in the text say whose it is |
 */
import type { Block } from "../../shared/block.ts";
import { fnv1a } from "./draw.ts";
import type { Answer } from "./send.ts";
import type { Upload } from "./upload.ts";

const statuses: Record<string, number> = {
  ok: 200,
  no_token: 401,
  bad_token: 401,
  expired_token: 401,
  future_token: 401,
  wrong_audience: 401,
  unknown_device: 403,
  bad_header: 400,
  bad_frame: 400,
  frame_too_large: 413,
  body_too_large: 413,
  unsupported_encoding: 415,
  cut_off: 408,
  not_found: 404,
  busy: 503,
  share: 503,
  too_fast: 429,
};

/** What a receiver with too few slots and bytes may say to anyone. */
const crowded = ["busy", "share", "too_fast"];

/** What was stored of one upload, block by block. */
export class Stored {
  blocks = 0;
  bytes = 0;
  readonly complaints: string[] = [];
  /** Empty where there is nothing to compare it with: a bomb's would be hundreds of MB. */
  text = "";

  constructor(private readonly upload: Upload) {}

  add({ header, text }: Block): void {
    const { sender, unknown, kept } = this.upload;
    this.blocks++;
    this.bytes += text.length;
    if (!unknown || kept !== "") this.text += text;
    if (header.device !== sender.name) this.complaints.push(`stored as ${header.device}'s`);
    if (header.source === "raw" && header.count !== text.split("\n").length - 1) {
      this.complaints.push("a raw block's COUNT is wrong");
    }
    this.complaints.push(...strangeMarkers(this.upload, text));
  }
}

export function judge(
  upload: Upload,
  answer: Answer | undefined,
  stored: Stored,
  tight: boolean,
): string[] {
  const complaints = [...stored.complaints, ...judgeStored(upload, answer, stored.text, tight)];
  if (answer) complaints.push(...judgeAnswer(upload, answer, stored, tight));
  return complaints;
}

function judgeAnswer(upload: Upload, answer: Answer, stored: Stored, tight: boolean): string[] {
  const { outcome, status, acked, retryAfter } = answer;
  const complaints: string[] = [];
  if (!upload.outcomes.has(outcome) && !(tight && crowded.includes(outcome))) {
    complaints.push(`answered ${status} ${outcome}, not one of ${[...upload.outcomes].join(", ")}`);
  }
  // A live answer has begun with 200 before anything could go wrong.
  if (acked === undefined && status !== statuses[outcome]) {
    complaints.push(`status ${status} for ${outcome}`);
  }
  if (status === 503 && !/^\d{1,4}$/.test(retryAfter ?? "")) complaints.push("503, no Retry-After");
  if (outcome === "ok" && upload.stored !== undefined && acked !== upload.textBytes) {
    complaints.push(`acknowledged ${acked} of ${upload.textBytes} bytes`);
  }
  if (acked! > 0 && stored.blocks === 0) complaints.push(`acknowledged ${acked}, stored nothing`);
  return complaints;
}

function judgeStored(
  upload: Upload,
  answer: Answer | undefined,
  got: string,
  tight: boolean,
): string[] {
  const { stored, kept } = upload;
  const crowdedOut = tight && (!answer || crowded.includes(answer.outcome));
  const whole = answer ? answer.outcome === "ok" : upload.outcomes.has("ok") && !crowdedOut;
  if (whole && stored !== undefined && got !== stored) {
    return [`stored other than it was sent: ${difference(got, stored)}`];
  }
  if (whole) return [];
  if (!crowdedOut && !got.startsWith(kept)) return [`kept too little: ${difference(got, kept)}`];
  if (!crowdedOut && upload.keptExactly && got !== kept) {
    return [`kept too much: ${difference(got, kept)}`];
  }
  if (stored !== undefined && !stored.startsWith(got)) {
    return [`kept what wasn't sent: ${difference(got, stored)}`];
  }
  return [];
}

const markerForm = /<([^<>/\n]{1,128})\/(\d{1,9})\/([0-9a-f]{1,8})>/g;

/** Whose text a block holds, by the markers in it that are whole. */
export function* markers(text: string): Generator<{ name: string; number: number }> {
  for (const [, name, number, sum] of text.matchAll(markerForm)) {
    if (fnv1a(`${name}/${number}`).toString(16) === sum) yield { name: name!, number: +number! };
  }
}

function strangeMarkers(upload: Upload, text: string): string[] {
  for (const { name, number } of markers(text)) {
    if (name !== upload.sender.name || number !== upload.number) {
      return [`holds the text of ${name}/${number}`];
    }
  }
  return [];
}

function difference(got: string, wanted: string): string {
  let at = 0;
  while (at < got.length && got[at] === wanted[at]) at++;
  const around = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 20), at + 60));
  return `${got.length} bytes for ${wanted.length}, at ${at} ${around(got)} for ${around(wanted)}`;
}
