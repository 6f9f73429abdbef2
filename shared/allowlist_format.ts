/**
 * The text of devices that are let in goes in, the devices come out, and the other way round. One
 * device has one line and one key; the first of two lines that contradict each other wins.
 *
 *   line     = THUMBPRINT SP DEVICE *(SP label "=" value) [SP comment] / comment / blank
 *   THUMBPRINT  RFC 7638, SHA-256: 43 characters of base64url
 *   DEVICE      1 to 128 of A-Z a-z 0-9 . _ : -   but not "-", "." or "..": it is a name in headers
 *               and in paths
 *   label       a-z, then a-z 0-9 _
 *   value       1 to 128 characters, no spaces
 *   comment     "#" at the beginning of a word, to the end of the line
 *
 * SP is spaces or tabs. Every line ends in a newline: one that doesn't was cut off while it was
 * being written.
 */
import { limits } from "./limits.ts";

export interface Device {
  thumbprint: string;
  name: string;
  labels: Record<string, string>;
}

export interface ParsedList {
  devices: Devices;
  /** What is wrong with the first bad lines, by number, and how many more there are. */
  problems: string[];
}

/**
 * Devices by thumbprint, in the order of their lines. Kept as their lines, and read when asked for:
 * 100,000 of them as objects take twice the memory and three times as long to make.
 */
export class Devices {
  /** By thumbprint; each is a whole good line. */
  readonly #lines: ReadonlyMap<string, string>;

  constructor(lines: ReadonlyMap<string, string> = new Map()) {
    this.#lines = lines;
  }

  get size(): number {
    return this.#lines.size;
  }

  has(thumbprint: string): boolean {
    return this.#lines.has(thumbprint);
  }

  get(thumbprint: string): Device | undefined {
    const line = this.#lines.get(thumbprint);
    return line === undefined ? undefined : parseLine(line) as Device;
  }

  *values(): Generator<Device, void> {
    for (const line of this.#lines.values()) yield parseLine(line) as Device;
  }
}

/** A text in another format has as many problems as lines; the first ones tell. */
const problemsMax = 20;
/** Labels of one device. Picked from the air. */
const labelsMax = 16;
/** Lines between two looks at the clock: some tenths of a millisecond. */
const linesPerLook = 64;

const wordForm = /[^ \t\r]+/g;
const thumbprintForm = /^[A-Za-z0-9_-]{43}$/;
const nameForm = /^[A-Za-z0-9._:-]+$/;
const labelForm = /^[a-z][a-z0-9_]*=\S+$/;
/** Most lines, those that `allow` writes among them; `glance` takes no other for good. */
const plainForm =
  /^[A-Za-z0-9_-]{43} ([A-Za-z0-9._:-]{3,128})((?: [a-z][a-z0-9_]*=[^\s#]{1,128}){0,16})$/;

/** An edit of the allow-list that can't be made as asked: nothing was changed. */
export class AllowListError extends Error {
  override name = "AllowListError";
  readonly code: "bad_device" | "device_exists" | "contended";

  constructor(code: AllowListError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** Reads the format above. A bad line lets nobody in and is told of; it never harms the others. */
export function parseAllowList(text: string): ParsedList {
  const reading = readLines(text);
  for (;;) {
    const { done, value } = reading.next();
    if (done) return value;
  }
}

/** How a long computation shares its thread. */
export interface Slices {
  /** Milliseconds, of a clock that never steps back. */
  nowMs: () => number;
  /** Resolves when everything else that waited has had its turn. */
  pause: () => Promise<void>;
}

/**
 * The same for a text of many devices beside work that mustn't wait: pauses after each
 * `limits.listSliceMs`.
 */
export async function parseInSlices(text: string, { nowMs, pause }: Slices): Promise<ParsedList> {
  const reading = readLines(text);
  let untilMs = nowMs() + limits.listSliceMs;
  for (;;) {
    const { done, value } = reading.next();
    if (done) return value;
    if (nowMs() < untilMs) continue;
    await pause();
    untilMs = nowMs() + limits.listSliceMs;
  }
}

/** The device's line, without its newline. Throws AllowListError `bad_device`. */
export function formatDevice(device: Device): string {
  const problem = fault(device);
  if (problem !== undefined) {
    throw new AllowListError("bad_device", `Cannot allow device because ${problem}`);
  }
  const labels = Object.entries(device.labels).map(([key, value]) => `${key}=${value}`);
  return [device.thumbprint, device.name, ...labels].join(" ");
}

/** A line's words before the comment. */
export function words(line: string): string[] {
  const all: string[] = line.match(wordForm) ?? [];
  if (!line.includes("#")) return all;
  const comment = all.findIndex((word) => word.startsWith("#"));
  return comment === -1 ? all : all.slice(0, comment);
}

/** What is wrong with a device beside those that are there. */
export function conflict(
  nameOf: (thumbprint: string) => string | undefined,
  names: ReadonlySet<string>,
  { thumbprint, name }: Pick<Device, "thumbprint" | "name">,
): string | undefined {
  const owner = nameOf(thumbprint);
  if (owner !== undefined) {
    return `thumbprint must be listed once: current value is ${owner}'s already`;
  }
  if (!names.has(name)) return undefined;
  return `device must have one key: current value is ${name}, which has another already`;
}

/** Yields now and then, so that whoever drives it can leave it lying. */
function* readLines(text: string): Generator<void, ParsedList> {
  const lines = new Map<string, string>();
  const nameOf = (thumbprint: string) => {
    const line = lines.get(thumbprint);
    return line === undefined ? undefined : words(line)[1];
  };
  const names = new Set<string>();
  const problems: string[] = [];
  let problemCount = 0;
  let number = 0;
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const end = newline === -1 ? text.length : newline;
    const line = text.slice(start, end);
    start = end + 1;
    if (++number % linesPerLook === 0) yield;
    const device = glance(line) ?? parseLine(line);
    if (device === undefined) continue;
    const problem = typeof device === "string" ? device : conflict(nameOf, names, device);
    if (problem !== undefined && ++problemCount <= problemsMax) {
      problems.push(`line ${number}: ${problem}`);
    }
    if (problem !== undefined || typeof device === "string") continue;
    lines.set(device.thumbprint, line);
    names.add(device.name);
  }
  if (problemCount > problemsMax) problems.push(`and ${problemCount - problemsMax} lines more`);
  return { devices: new Devices(lines), problems };
}

/** What `parseLine` would find, sooner; undefined for a line that needs a closer look. */
export function glance(line: string): { thumbprint: string; name: string } | undefined {
  const [, name, labels] = plainForm.exec(line) ?? [];
  if (name === undefined || hasTwice(labels!)) return undefined;
  return { thumbprint: line.slice(0, 43), name };
}

/** Whether one of ` key=value key=value...` is there again. */
function hasTwice(labels: string): boolean {
  for (let at = 0; at !== -1 && at < labels.length; at = labels.indexOf(" ", at + 1)) {
    if (labels.includes(labels.slice(at, labels.indexOf("=", at) + 1), at + 1)) return true;
  }
  return false;
}

/** A device, undefined for a line without one, or what is wrong with the line. */
export function parseLine(line: string): Device | string | undefined {
  const all = words(line);
  if (all.length === 0) return undefined;
  const labels: Record<string, string> = {};
  for (let i = 2; i < all.length; i++) {
    const pair = all[i]!;
    if (!labelForm.test(pair)) return `label must be key=value: current value is ${brief(pair)}`;
    const at = pair.indexOf("=");
    const key = pair.slice(0, at);
    if (Object.hasOwn(labels, key)) {
      return `label must be given once: current value is ${key} twice`;
    }
    labels[key] = pair.slice(at + 1);
  }
  const device = { thumbprint: all[0]!, name: all[1] ?? "", labels };
  return fault(device) ?? device;
}

/** What is wrong with a device by itself. */
function fault({ thumbprint, name, labels }: Device): string | undefined {
  if (!thumbprintForm.test(thumbprint)) {
    return `thumbprint must be 43 characters of base64url: current value is ${brief(thumbprint)}`;
  }
  const isName = nameForm.test(name) && name.length <= limits.nameBytesMax;
  if (!isName || name === "-" || name === "." || name === "..") {
    return `device must be 1 to ${limits.nameBytesMax} of A-Z a-z 0-9 . _ : - ` +
      `and not "-", "." or "..": current value is ${brief(name)}`;
  }
  const keys = Object.keys(labels);
  if (keys.length > labelsMax) {
    return `labels must be at most ${labelsMax}: current value is ${keys.length}`;
  }
  const bad = keys.find((key) =>
    labels[key]!.length > limits.nameBytesMax || !labelForm.test(`${key}=${labels[key]}`)
  );
  if (bad === undefined) return undefined;
  return `label must be key=value, of a-z 0-9 _ and at most ${limits.nameBytesMax} ` +
    `characters without spaces: current value is ${brief(`${bad}=${labels[bad]}`)}`;
}

function brief(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
