/** Accounts in, what people read out: a line for each device or stream, and one for all of them. */
import { addCounts, type Counts, noCounts, type StreamAccount } from "./account.ts";
import type { Unread } from "./ledger.ts";

/** Accounts of streams that stand together. */
export interface Sum extends Counts {
  streams: number;
}

export interface DeviceSum extends Sum {
  device: string;
}

export function noSum(): Sum {
  return { streams: 0, ...noCounts() };
}

export function addAccount(sum: Sum, account: Counts): void {
  sum.streams++;
  addCounts(sum, account);
}

/** One sum for each device; a device's streams must stand together. */
export function* byDevice(accounts: Iterable<StreamAccount>): Generator<DeviceSum> {
  let sum: DeviceSum | undefined;
  for (const account of accounts) {
    if (sum && sum.device !== account.device) yield sum;
    if (sum?.device !== account.device) sum = { device: account.device, ...noSum() };
    addAccount(sum, account);
  }
  if (sum) yield sum;
}

const said: Array<[name: keyof Counts, words: string]> = [
  ["overrun", "overwritten on the device"],
  ["evicted", "evicted"],
  ["ratelimit", "rate-limited"],
  ["refused", "refused"],
  ["lost", "lost"],
  ["other", "of other causes"],
  ["unexplained", "UNEXPLAINED"],
];
/** Of a device with thousands of holes the first ones tell. */
const seqsCharsMax = 120;

/** What stands in a sum, as far as it isn't 0. */
export function countsText(counts: Counts, openGap = false): string {
  const missing = said.filter(([name]) => counts[name] > 0)
    .map(([name, words]) => `${number(counts[name])} ${words}`);
  const open = openGap ? ["the end of a gap isn't known: or more"] : [];
  return [`${number(counts.stored)} stored`, ...missing, ...open].join(", ");
}

export function deviceLine(sum: DeviceSum): string {
  return `${sum.device}  ${plural(sum.streams, "stream")}: ${countsText(sum)}\n`;
}

/** With the seqs that are stored and, below it, those that nobody explains. */
export function streamLines(account: StreamAccount): string {
  const { boot, source, stream, seqs, unexplainedSeqs } = account;
  const name = `${source} ${stream}${boot === "-" || boot === stream ? "" : ` of boot ${boot}`}`;
  // Lines of `raw` have no seq.
  const range = seqs === "" ? "" : `; ${brief(seqs)}`;
  const line = `${name}  ${countsText(account, account.openGap)}${range}\n`;
  return unexplainedSeqs === "" ? line : `${line}    never explained: ${brief(unexplainedSeqs)}\n`;
}

/** The last line: every cause is in it, also those that there are none of. */
export function totalLine(name: string, sum: Sum, unread: readonly Unread[]): string {
  const causes = said.filter(([cause]) => cause !== "other" || sum.other > 0)
    .map(([cause, words]) => `${number(sum[cause])} ${words.toLowerCase()}`);
  const odd = unread.map(({ what, count }) => `; ${number(count)} ${what}`).join("");
  return `${name}: ${plural(sum.streams, "stream")}, ${number(sum.stored)} records stored, ` +
    `${causes.join(", ")}${odd}\n`;
}

/** Made once: a fleet's ledger has a million numbers. */
const format = new Intl.NumberFormat("en-US");

function number(n: number): string {
  return format.format(n);
}

export function plural(n: number, noun: string): string {
  return `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
}

function brief(seqs: string): string {
  if (seqs.length <= seqsCharsMax) return seqs;
  return `${seqs.slice(0, seqs.lastIndexOf(",", seqsCharsMax))},...`;
}
