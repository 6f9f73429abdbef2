/**
 * The text file of devices that are let in goes in, a look-up by key thumbprint comes out. One
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
import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { limits } from "./limits.ts";

export interface Device {
  thumbprint: string;
  name: string;
  labels: Record<string, string>;
}

/** 100,000 devices with some labels are 10 MB; beyond this it isn't an allow-list. */
const fileBytesMax = 256 * 1024 * 1024;
/** A file in another format has as many problems as lines; the first ones tell. */
const problemsMax = 20;
/** Labels of one device. Picked from the air. */
const labelsMax = 16;

const thumbprintForm = /^[A-Za-z0-9_-]{43}$/;
const nameForm = /^[A-Za-z0-9._:-]+$/;
const labelForm = /^([a-z][a-z0-9_]*)=(\S+)$/;

/** An edit of the allow-list that can't be made as asked: nothing was changed. */
export class AllowListError extends Error {
  override name = "AllowListError";
  readonly code: "bad_device" | "device_exists";

  constructor(code: "bad_device" | "device_exists", message: string) {
    super(message);
    this.code = code;
  }
}

/** Reads the format above. A bad line lets nobody in and is told of; it never harms the others. */
export function parseAllowList(
  text: string,
): { devices: Map<string, Device>; problems: string[] } {
  const devices = new Map<string, Device>();
  const names = new Set<string>();
  const problems: string[] = [];
  let problemCount = 0;
  for (const [index, line] of text.split("\n").entries()) {
    const device = parseLine(line);
    const problem = typeof device === "string" ? device : conflict(devices, names, device);
    if (problem !== undefined && ++problemCount <= problemsMax) {
      problems.push(`line ${index + 1}: ${problem}`);
    }
    if (problem !== undefined || device === undefined || typeof device === "string") continue;
    devices.set(device.thumbprint, device);
    names.add(device.name);
  }
  if (problemCount > problemsMax) problems.push(`and ${problemCount - problemsMax} lines more`);
  return { devices, problems };
}

/**
 * Adds a line. Returns false if the very same device is there already.
 *
 * @throws AllowListError bad_device, device_exists; what node:fs throws if the file can't be
 * written
 */
export function addDevice(path: string, device: Device): boolean {
  const line = formatDevice(device);
  const old = existsSync(path) ? readFileSync(path, "utf8") : "";
  const { devices } = parseAllowList(old);
  const same = devices.get(device.thumbprint);
  if (same !== undefined && formatDevice(same) === line) return false;
  const problem = conflict(devices, new Set([...devices.values()].map((d) => d.name)), device);
  if (problem !== undefined) {
    throw new AllowListError(
      "device_exists",
      `Cannot allow device because ${problem}; run \`receiver revoke\` first`,
    );
  }
  replaceFile(path, old + (old === "" || old.endsWith("\n") ? "" : "\n") + line + "\n");
  return true;
}

/**
 * Removes every line of the device with this thumbprint or name, also lines that another one
 * overruled: they must not come to life. Comments stay.
 *
 * @returns how many lines went; 0 if there is no such device
 */
export function removeDevice(path: string, thumbprintOrName: string): number {
  if (!existsSync(path)) return 0;
  const lines = readFileSync(path, "utf8").split("\n");
  const gone = new Set([thumbprintOrName]);
  for (const [thumbprint, name] of lines.map(words)) {
    if (name === thumbprintOrName) gone.add(thumbprint!);
  }
  const kept = lines.filter((line) => {
    const [thumbprint, name] = words(line);
    return thumbprint === undefined || !(gone.has(thumbprint) || name === thumbprintOrName);
  });
  if (kept.length < lines.length) replaceFile(path, kept.join("\n"));
  return lines.length - kept.length;
}

/** The list in a file, as it was when reload() last found it whole. The caller polls. */
export class AllowList {
  readonly #path: string;
  readonly #onChange: () => void;
  #devices = new Map<string, Device>();
  /** Of the file as it was taken, or as it was found to be wrong. */
  #stamp = "";
  #stampProblem: string | undefined;
  /** Of a file that looked gone or empty at the last look. */
  #doubtedStamp: string | undefined;
  /** What is wrong with the file now, for the operator; the devices are the last good ones. */
  problem: string | undefined;

  /** @param options.onChange called after reload() took a changed file, not for the first one */
  constructor(path: string, { onChange = () => {} }: { onChange?: () => void } = {}) {
    this.#path = path;
    this.#onChange = () => {};
    this.reload();
    this.#onChange = onChange;
  }

  get(thumbprint: string): Device | undefined {
    return this.#devices.get(thumbprint);
  }

  get size(): number {
    return this.#devices.size;
  }

  /**
   * Looks at the file and takes it if it changed (mtime, size, inode). Returns whether it did. A
   * missing file is an empty list. One that can't be read or was cut off changes nothing but
   * `problem`. Editors leave a file gone or empty for a moment while they save; so that nobody is
   * cut off by that, it empties a list only when found so twice running.
   */
  reload(): boolean {
    try {
      const stamp = stampOf(this.#path);
      if (stamp === this.#stamp) return this.#unchanged();
      if (this.#isDoubtful(stamp)) return false;
      const text = stamp === missing ? "" : readWhole(this.#path, stamp);
      return this.#take(stamp, text);
    } catch (error) {
      this.problem = `Cannot read allow-list because ${this.#path} must be readable: ` +
        `current value is ${(error as Error).message}`;
      return false;
    }
  }

  #unchanged(): false {
    this.#doubtedStamp = undefined;
    this.problem = this.#stampProblem;
    return false;
  }

  #isDoubtful(stamp: string): boolean {
    const looksGone = stamp === missing || stamp.endsWith(" 0");
    const isDoubtful = looksGone && this.#devices.size > 0 && stamp !== this.#doubtedStamp;
    this.#doubtedStamp = looksGone ? stamp : undefined;
    if (isDoubtful) {
      this.problem =
        `Cannot take allow-list because ${this.#path} must hold devices, or be empty ` +
        "at two looks running: current value is empty at one";
    }
    return isDoubtful;
  }

  #take(stamp: string, text: string): boolean {
    const isTorn = text !== "" && !text.endsWith("\n");
    const isFirst = this.#stamp === "";
    this.#stamp = stamp;
    this.#stampProblem = isTorn ? tornProblem(this.#path) : undefined;
    this.problem = this.#stampProblem;
    if (isTorn && !isFirst) return false;
    // At start there is no older list to keep: take the whole lines, not the cut one.
    const { devices, problems } = parseAllowList(text.slice(0, text.lastIndexOf("\n") + 1));
    this.#devices = devices;
    if (problems.length > 0) this.#stampProblem ??= `${this.#path}: ${problems.join("; ")}`;
    this.problem = this.#stampProblem;
    this.#onChange();
    return true;
  }
}

const missing = "missing";

/** Changes when the file does, and ends in its size. */
function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? missing : `${stat.mtimeNs} ${stat.ino} ${stat.size}`;
}

/** @throws if the file is too large, or changed while it was being read */
function readWhole(path: string, stamp: string): string {
  const size = Number(stamp.slice(stamp.lastIndexOf(" ")));
  if (size > fileBytesMax) throw new Error(`${size} bytes, more than ${fileBytesMax}`);
  const text = readFileSync(path, "utf8");
  if (stampOf(path) !== stamp) throw new Error("a file that is being written");
  return text;
}

function tornProblem(path: string): string {
  return `Cannot take allow-list because ${path} must end in a newline: ` +
    "current value ends within a line, as if cut off";
}

/** A line's words before the comment. */
function words(line: string): string[] {
  const all: string[] = line.match(/[^ \t\r]+/g) ?? [];
  if (!line.includes("#")) return all;
  const comment = all.findIndex((word) => word.startsWith("#"));
  return comment === -1 ? all : all.slice(0, comment);
}

/** A device, undefined for a line without one, or what is wrong with the line. */
function parseLine(line: string): Device | string | undefined {
  const [thumbprint, name, ...pairs] = words(line);
  if (thumbprint === undefined) return undefined;
  const labels: Record<string, string> = {};
  for (const pair of pairs) {
    const [, key, value] = labelForm.exec(pair) ?? [];
    if (key === undefined) return `label must be key=value: current value is ${brief(pair)}`;
    if (Object.hasOwn(labels, key)) {
      return `label must be given once: current value is ${key} twice`;
    }
    labels[key] = value!;
  }
  const device = { thumbprint, name: name ?? "", labels };
  return fault(device) ?? device;
}

/** What is wrong with a device by itself. */
function fault({ thumbprint, name, labels }: Device): string | undefined {
  if (!thumbprintForm.test(thumbprint)) {
    return `thumbprint must be 43 characters of base64url: current value is ${brief(thumbprint)}`;
  }
  const isName = nameForm.test(name) && name.length <= limits.nameBytesMax;
  if (!isName || ["-", ".", ".."].includes(name)) {
    return `device must be 1 to ${limits.nameBytesMax} of A-Z a-z 0-9 . _ : - ` +
      `and not "-", "." or "..": current value is ${brief(name)}`;
  }
  const pairs = Object.entries(labels);
  if (pairs.length > labelsMax) {
    return `labels must be at most ${labelsMax}: current value is ${pairs.length}`;
  }
  const bad = pairs.find(([key, value]) =>
    !labelForm.test(`${key}=${value}`) || value.length > limits.nameBytesMax
  );
  return bad && `label must be key=value, of a-z 0-9 _ and at most ${limits.nameBytesMax} ` +
      `characters without spaces: current value is ${brief(bad.join("="))}`;
}

/** What is wrong with a device beside those that are there. */
function conflict(
  devices: ReadonlyMap<string, Device>,
  names: ReadonlySet<string>,
  device: Device | undefined,
): string | undefined {
  if (device === undefined) return undefined;
  const same = devices.get(device.thumbprint);
  if (same) return `thumbprint must be listed once: current value is ${same.name}'s already`;
  if (!names.has(device.name)) return undefined;
  return `device must have one key: current value is ${device.name}, which has another already`;
}

function formatDevice(device: Device): string {
  const problem = fault(device);
  if (problem !== undefined) {
    throw new AllowListError("bad_device", `Cannot allow device because ${problem}`);
  }
  const labels = Object.entries(device.labels).map(([key, value]) => `${key}=${value}`);
  return [device.thumbprint, device.name, ...labels].join(" ");
}

function brief(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

/**
 * Puts a new file in the old one's place in one step, so that no reader ever sees half of it. Two
 * edits in the same millisecond can lose one of them: operators are few.
 */
function replaceFile(path: string, text: string): void {
  const target = existsSync(path) ? realpathSync(path) : path;
  const temporary = `${target}.${process.pid}.tmp`;
  rmSync(temporary, { force: true }); // of a killed run that had our process id
  const fd = openSync(temporary, "wx", 0o644);
  try {
    writeFileSync(fd, text);
    keepOwner(fd, target);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, target);
  const directory = openSync(dirname(target), "r");
  fsyncSync(directory);
  closeSync(directory);
}

/** Else root's edit would close the file to the receiver, which would go on with the old list. */
function keepOwner(fd: number, target: string): void {
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat === undefined) return;
  fchmodSync(fd, stat.mode & 0o777);
  fchownSync(fd, stat.uid, stat.gid);
}
