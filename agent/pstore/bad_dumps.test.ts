/**
 * Dumps as weak memory, other kernels and full folders leave them: recorded ones with bytes flipped, cut,
 * moved and lost; ones that can't be deleted; a thousand of them. Whatever they are, the agent starts, and
 * what it sends are records.
 */
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { forEachRecord, formatRecord, isMeta, type LogRecord } from "../../shared/record.ts";
import { readUploadFrame } from "../../shared/upload.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { bunPath } from "../../tests/programs.ts";
import { recordHash } from "../checkpoint.ts";
import { Encoder } from "../encoder.ts";
import { parseDump } from "./dump.ts";
import { type Died, openPstore } from "./pstore.ts";

const golden = join(import.meta.dirname!, "golden", "linux-6.12");
const recorded = [
  "panic/dmesg-ramoops-0",
  "panic/console-ramoops-0",
  "panic/pmsg-ramoops-0",
  "reset/console-ramoops-0",
  "damaged/dmesg-ramoops-0",
  "damaged/pmsg-ramoops-0",
].map((path) => ({ name: path.split("/")[1]!, bytes: readFileSync(join(golden, path)) }));
const panic = recorded[0]!.bytes;

class Machine implements Disposable {
  readonly folder = new TemporaryFolder();
  readonly state = join(this.folder.path, "state");
  readonly kernel = join(this.folder.path, "sys/fs/pstore");
  reports: string[] = [];

  constructor() {
    for (const path of [this.state, this.kernel]) mkdirSync(path, { recursive: true });
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }

  write(name: string, bytes: Uint8Array | string, timeS = 1_000): void {
    const path = join(this.kernel, name);
    writeFileSync(path, bytes);
    utimesSync(path, timeS, timeS);
  }

  /** Starts, reads all there is, and has it acknowledged. */
  async ship(died?: Died, acknowledged = true): Promise<LogRecord[][]> {
    const report = (text: string) => void this.reports.push(text);
    const tails = openPstore({ root: this.folder.path, state: this.state, died, report });
    const all: LogRecord[][] = [];
    for (const tail of tails) {
      const records: LogRecord[] = [];
      for (let some = await tail.read(); some; some = await tail.read()) records.push(...some);
      if (acknowledged) tail.shipped();
      all.push(records);
    }
    return all;
  }
}

/** What a receiver and a grinder make of records: the same, in frames that they take. */
function expectValid(records: LogRecord[], bytes: number): void {
  const again: LogRecord[] = [];
  const text = records.map(formatRecord).join("");
  forEachRecord(text, (record) => again.push(record), (bad) => expect.unreachable(bad));
  expect(again.map(formatRecord).join("")).toBe(text);
  const odd = records.find(({ prio, seq, usec, flag, text }) =>
    !/^[ -~]*$/.test(text) || !["p", "g"].includes(flag) ||
    ![prio, seq, usec].every((value) => Number.isSafeInteger(value) && value >= 0)
  );
  expect(odd).toBeUndefined();
  // Each byte is in one record at most, as four at most: that is all the memory it takes.
  const kept = records.filter(({ flag }) => !isMeta(flag));
  expect(kept.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThanOrEqual(4 * bytes);
  expect(kept.length).toBeLessThanOrEqual(bytes);
  expect(framed(records)).toBe(kept.length);
}

function framed(records: LogRecord[]): number {
  const encoder = new Encoder();
  let count = 0;
  const take = () => count += readUploadFrame(encoder.take().bytes).header.count;
  for (const record of records) {
    encoder.add(record);
    if (encoder.full) take();
  }
  if (!encoder.empty) take();
  return count;
}

type Random = (below: number) => number;

function randomFrom(seed: number): Random {
  return (below) => (seed = (seed * 48_271) % 0x7fff_ffff) % below;
}

const notices = [
  "\nECC: No errors detected\n",
  "\nECC: 3 Corrected bytes, 0 unrecoverable blocks\n",
  "\nECC: 999999999 Corrected bytes, 12 unrecoverable blocks\n",
  "\n7 Corrected bytes, 4294967295 unrecoverable blocks\n",
  "\nECC: -1 Corrected bytes, x unrecoverable blocks\n",
].map((text) => Buffer.from(text));

const oddPieces = [
  "<99999>[999999999.999999] ",
  "[9999999999999.1] ",
  "====0.0-C\n====0.0-D\n",
  "Panic#999999999 Part999999999\n",
  "<6>[    1.000000][ T99999999999] ",
  "\n \n#0 1 2 3\n#end\n",
  "6,7,8,g,first=0,last=9,count=10,cause=lost;x\n",
  "\0".repeat(300),
  "\n".repeat(300),
].map((text) => Buffer.from(text, "latin1"));

/** Ways in which memory, flash and kernels spoil a dump. */
const mutations: Array<(bytes: Buffer, random: Random) => Buffer> = [
  (bytes, random) => {
    for (let flips = 1 + random(64); flips > 0; flips--) {
      bytes[random(bytes.length)]! ^= 1 << random(8);
    }
    return bytes;
  },
  (bytes, random) => bytes.subarray(0, random(bytes.length)),
  (bytes, random) => bytes.subarray(random(bytes.length)),
  (bytes, random) => bytes.fill(random(256), random(bytes.length), random(bytes.length)),
  (bytes, random) => {
    const block = bytes.subarray(random(bytes.length)).subarray(0, 128);
    for (let at = 0; at < block.length; at++) block[at] = random(256);
    return bytes;
  },
  (bytes, random) => {
    const [from, to] = [random(bytes.length), random(bytes.length)];
    bytes.copyWithin(to, from, from + random(2_000));
    return bytes;
  },
  (bytes, random) => {
    const at = random(bytes.length);
    const piece = oddPieces[random(oddPieces.length)]!;
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
  },
  (bytes, random) => {
    const other = recorded[random(recorded.length)]!.bytes;
    const end = bytes.subarray(0, random(bytes.length));
    return Buffer.concat([end, other.subarray(random(other.length))]);
  },
];

function mutant(bytes: Uint8Array, random: Random): Buffer {
  let mutated: Buffer = Buffer.from(bytes);
  for (let times = 1 + random(3); times > 0 && mutated.length > 0; times--) {
    mutated = mutations[random(mutations.length)]!(mutated, random);
  }
  // The kernel says what it repaired of the bytes that it read.
  return random(2) === 0 ? mutated : Buffer.concat([mutated, notices[random(notices.length)]!]);
}

describe("a dump of which bytes are wrong", () => {
  test("is sent as valid records, whichever of 2,400 ways it is spoilt in", async () => {
    const random = randomFrom(20_260);
    const known = { prio: 14, usec: 1_100_000, text: "app: line 7" };
    const position = { boot: "b", stream: "b", seq: 7, hash: recordHash(known) };
    let sent = 0;
    for (let mutants = 0; mutants < 2_400;) {
      using machine = new Machine();
      const bytes = recorded.slice(0, 3).reduce((sum, { name, bytes }) => {
        const mutated = mutant(bytes, random);
        machine.write(name, mutated);
        mutants++;
        return sum + mutated.length;
      }, 0);
      // Not often: searching the console for it takes long.
      const died = [{ boot: "b", position }, { boot: "b" }][random(16)];
      const all = await machine.ship(died, false);
      for (const records of all) expectValid(records, bytes);
      sent += all.flat().length;
    }
    expect(sent).toBeGreaterThan(100_000);
  });

  test("says so where error correction couldn't repair it, and what it could is no news", async () => {
    using machine = new Machine();
    const flipped = Buffer.from(panic.subarray(0, panic.lastIndexOf("\nECC: ")));
    for (let at = 5_000; at < 5_040; at++) flipped[at]! ^= 0x55;
    const notice = "\nECC: 2 Corrected bytes, 1 unrecoverable blocks\n";
    machine.write("dmesg-ramoops-0", Buffer.concat([flipped, Buffer.from(notice)]));
    machine.write("console-ramoops-0", recorded[1]!.bytes);
    machine.write("pmsg-ramoops-0", `<6>app: x\n${notices[1]}`);
    const [records] = await machine.ship();
    const path = join(machine.kernel, "dmesg-ramoops-0");
    expect(machine.reports)
      .toEqual([`${path} is damaged: 2 Corrected bytes, 1 unrecoverable blocks`]);
    expect(records!.some(({ text }) => text.includes("ECC"))).toBe(false);
    // What was flipped in one place is there from the other.
    const { lines } = parseDump("console", recorded[1]!.bytes);
    const texts = new Set(records!.map(({ text }) => text));
    expect(lines.filter(({ text }) => !texts.has(text))).toEqual([]);
  });

  test("that is cut anywhere has the lines before the cut", () => {
    const whole = parseDump("dmesg", panic).lines;
    for (let length = 14; length < panic.length; length += 101) {
      const { lines } = parseDump("dmesg", panic.subarray(0, length));
      const cut = Math.max(lines.length - 1, 0);
      expect(lines.slice(0, cut)).toEqual(whole.slice(0, cut));
      if (lines[cut]?.timed) {
        expect(whole[cut]!.text.startsWith(lines[cut]!.text.replace(/\\x?.?$/, ""))).toBe(true);
      }
    }
  });

  test("of more lines than can be kept apart loses nothing, and takes the room of many dumps", async () => {
    using machine = new Machine();
    const lines = Array.from({ length: limits.pstoreLinesMax + 70_000 }, (_, i) => `${i % 7}`);
    machine.write("pmsg-ramoops-0", lines.join("\n"));
    machine.write("dmesg-ramoops-0", panic, 2_000);
    const first = (await machine.ship()).flat();
    expect(first.length).toBeLessThan(limits.pstoreLinesMax + 10);
    expect(first.flatMap(({ text }) => text.split("\\x0a")).join("")).toBe(lines.join(""));
    expect(machine.reports).toEqual(["1 more dumps are left for the next start"]);
    expect((await machine.ship()).length).toBe(1);
  });

  test("by having no times is searched for the acknowledged record only so long", async () => {
    using machine = new Machine();
    const line = "a line as a kernel prints it that prints no times before its lines\n";
    machine.write("console-ramoops-0", line.repeat(100_000));
    machine.write("dmesg-ramoops-0", line.repeat(1_000).replaceAll(/^/gm, "[    5.000000] "));
    const position = { boot: "b", stream: "b", seq: 7, hash: "of another record" };
    const startMs = performance.now();
    await machine.ship({ boot: "b", position });
    // It took minutes.
    expect(performance.now() - startMs).toBeLessThan(30_000);
  });
});

describe("a dump of another kernel", () => {
  const kernels: Array<[string, string, string, string]> = [
    ["3.10, with ramoops' own header", "====1372.123456\n", "<6>[    1.000000] a", "6 1000000 a"],
    ["3.18", "====1372.123456-D\nPanic#1 Part1\n", "<6>[    1.000000] a", "6 1000000 a"],
    ["4.19 on EFI", "Oops#1 Part3\n", "<6>[    1.000000] a", "6 1000000 a"],
    ["5.10 with callers", "Panic#2 Part1\n", "<6>[    1.000000][    T1] a", "6 1000000 a"],
    ["without times", "Panic#1 Part1\n", "<6>a", "6 0 a"],
    ["with a reason to come", "Low battery#1 Part1\n", "<6>[    1.000000] a", "6 1000000 a"],
    ["after some months", "Panic#1 Part1\n", "<6>[9000000.000001] a", "6 9000000000001 a"],
    ["with the highest facility", "Panic#1 Part1\n", "<2047>[    1.000000] a", "2047 1000000 a"],
  ];
  for (const [name, head, line, expected] of kernels) {
    test(`(${name}) is read`, () => {
      const { lines } = parseDump("dmesg", Buffer.from(`${head}${line}\n${line}\n`));
      expect(lines.map(({ prio, usec, text }) => `${prio} ${usec} ${text}`))
        .toEqual([expected, expected]);
    });
  }
});

/** The agent's start in a process of its own, and then another one: what each had to ship. */
const script = `
  const { openPstore } = await import(${JSON.stringify(join(import.meta.dirname!, "pstore.ts"))});
  for (let start = 0; start < 2; start++) {
    const reports = [];
    const options = { root: process.argv[1], state: process.argv[2], report: (t) => reports.push(t) };
    const tails = openPstore({ ...options, died: undefined });
    for (const tail of tails) { while (await tail.read()); tail.shipped(); }
    console.log(JSON.stringify([tails.length, reports]));
  }`;

describe("a dump that can't be deleted", () => {
  const readOnly = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"';
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const ways: Array<[string, string, (kernel: string) => string[]]> = [
    ["EROFS", "because it is on a read-only file system", (kernel) => [
      ...["unshare", "-m", "sh", "-c", readOnly, "sh", kernel],
    ]],
    ["EACCES", "because its folder is somebody else's", () => nobody],
  ];
  for (const [code, why, command] of ways) {
    const { status, stderr } = spawnSync(command("/")[0]!, ["--version"], { encoding: "utf8" });
    const isRoot = process.getuid?.() === 0;
    if (!isRoot || status !== 0) {
      console.log(`nothing is made undeletable here (${code}): it takes root. ${stderr}`);
      continue;
    }
    test(`(${code}), ${why}, is sent once, and that is said`, () => {
      using machine = new Machine();
      machine.write("dmesg-ramoops-0", panic);
      for (const path of [machine.folder.path, machine.state]) chmodSync(path, 0o777);
      chmodSync(machine.kernel, 0o755);
      const [program, ...args] = [...command(machine.kernel), bunPath, "-e", script];
      const { stdout, stderr } = spawnSync(
        program!,
        [...args, machine.folder.path, machine.state],
        { encoding: "utf8", timeout: 30_000 },
      );
      expect(stderr).toBe("");
      const [first, second] = stdout.trim().split("\n").map((line) => JSON.parse(line));
      expect(first[0]).toBe(1);
      expect(first[1].length).toBe(1);
      expect(first[1][0]).toStartWith(`Cannot delete ${machine.kernel}/dmesg-ramoops-0: ${code}`);
      expect(second[0]).toBe(0);
      expect(readdirSync(machine.kernel)).toEqual(["dmesg-ramoops-0"]);
    });
  }
});

describe("a thousand dumps in the kernel's folder", () => {
  test("are sent each once, over some starts, as a boot each, and are gone then", async () => {
    using machine = new Machine();
    const random = randomFrom(5);
    for (let i = 0; i < 1_000; i++) {
      const marked = Buffer.concat([
        panic.subarray(0, 4_000),
        Buffer.from(`\n<6>[    9.000000] crash ${i}.\n`),
      ]);
      marked[200 + random(3_000)]! ^= 1 << random(8);
      machine.write(`dmesg-ramoops-${i}`, marked, 1_000 + i);
    }
    const crashes: string[] = [];
    let starts = 0;
    while (readdirSync(machine.kernel).length > 0) {
      expect(++starts).toBeLessThan(20);
      const all = await machine.ship();
      expect(all.reduce((sum, records) => sum + records.length, 0) * limits.pstoreLineBytesMin)
        .toBeLessThan(2 * limits.pstoreBytesMax);
      for (const records of all) crashes.push(records.at(-1)!.text);
    }
    expect(crashes).toEqual(Array.from({ length: 1_000 }, (_, i) => `crash ${i}.`));
    expect(await machine.ship()).toEqual([]);
  });
});
