import { Buffer } from "node:buffer";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { escapeText, formatRecord, type LogRecord, parseGap } from "../../shared/record.ts";
import { FakeNetwork } from "../../tests/fake_network.ts";
import { FakeClock, TemporaryFolder } from "../../tests/fixtures.ts";
import { runPipeline } from "../pipeline.ts";
import { recordHash } from "../checkpoint.ts";
import { type Died, type LastWords, openPstore, type PstoreOptions } from "./pstore.ts";

const golden = join(import.meta.dirname!, "golden");
const kernel = "sys/fs/pstore";
const moved = "var/lib/systemd/pstore";

/** A machine's folders, with what a boot left in them. */
class Machine implements Disposable {
  readonly folder = new TemporaryFolder();
  readonly state = join(this.folder.path, "state");
  reports: string[] = [];

  constructor() {
    for (const path of [kernel, moved, "state"]) {
      mkdirSync(join(this.folder.path, path), { recursive: true });
    }
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }

  write(path: string, content: string | Uint8Array, timeS = 1_000): void {
    const full = join(this.folder.path, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, typeof content === "string" ? Buffer.from(content, "latin1") : content);
    utimesSync(full, timeS, timeS);
  }

  golden(...names: string[]): void {
    for (const name of names) copyFileSync(join(golden, name), this.path(`${kernel}/${name}`));
  }

  path(path: string): string {
    return join(this.folder.path, path);
  }

  /** The files that are there. */
  files(): string[] {
    return readdirSync(this.folder.path, { recursive: true, encoding: "utf8" })
      .filter((path) => /ramoops|efi/.test(path)).sort();
  }

  open(died?: Died, more: Partial<PstoreOptions> = {}): LastWords[] {
    this.reports = [];
    const report = (text: string) => void this.reports.push(text);
    return openPstore({ root: this.folder.path, state: this.state, died, report, ...more });
  }
}

async function readAll(tail: LastWords): Promise<LogRecord[]> {
  const all: LogRecord[] = [];
  for (let some = await tail.read(); some; some = await tail.read()) all.push(...some);
  return all;
}

async function textsOf(tails: LastWords[]): Promise<string[][]> {
  return await Promise.all(
    tails.map(async (tail) => (await readAll(tail)).map(({ text }) => text)),
  );
}

/** The boot that died, with this record as the last acknowledged. */
function died(prio: number, usec: number, text: string): Died {
  const hash = recordHash({ prio, usec, text: escapeText(text) });
  return { boot: "boot-1", position: { boot: "boot-1", stream: "boot-1", seq: 1, hash } };
}

const lostText = "logmill: what came next in this boot is lost";

const dump = (texts: string[], head = "Panic#1 Part1") =>
  `${head}\n` +
  texts.map((text, i) => `<6>[   10.${String(i).padStart(6, "0")}] ${text}\n`).join("");

describe("the last words of a boot", () => {
  test("come in one stream, ordered, under the boot that died", async () => {
    using machine = new Machine();
    machine.golden("dmesg-ramoops-0", "console-ramoops-0", "pmsg-ramoops-0");
    const [tail, ...others] = machine.open(died(14, 2_900_001, "app: userspace line 0"));
    expect(others).toEqual([]);
    expect([tail!.boot, tail!.source, tail!.over]).toEqual(["boot-1", "pstore", true]);
    expect(tail!.stream).toMatch(/^pstore-[0-9a-f]{24}$/);
    const records = await readAll(tail!);
    expect(records.map(({ seq, flag }) => `${seq}${flag}`)).toEqual(records.map((_, i) => `${i}p`));
    expect(records.map(({ prio, usec, text }) => `${prio} ${usec} ${text}`)).toEqual([
      "14 2900450 app: userspace line 1",
      "14 2900450 app: userspace line 1",
      "12 2901000 app: caf\\xc3\\xa9 \\x01\\xff b\\x5cx\\x09q",
      "4 2950000 ------------[ cut here ]------------",
      "4 2950000 CPU: 0 PID: 1 Comm: sh",
      "4 2950000 Hardware name: QEMU",
      "13 3000000 logos: the last line",
      "6 3100000 sysrq: Trigger a crash",
      "0 3100210 Kernel panic - not syncing: sysrq triggered crash",
      "6 3100300 ---[ end Kernel panic - not syncing: sysrq triggered crash ]---",
      "14 3100300 app: written to pmsg",
      "11 3100300 app: and an error",
    ]);
  });

  test("begin behind an acknowledged record of several lines", async () => {
    using machine = new Machine();
    machine.golden("dmesg-ramoops-0");
    const text =
      "------------[ cut here ]------------\nCPU: 0 PID: 1 Comm: sh\nHardware name: QEMU";
    const [texts] = await textsOf(machine.open(died(4, 2_950_000, text)));
    expect(texts![0]).toBe("logos: the last line");
  });

  test("begin behind an acknowledged record that the console has, without its level", async () => {
    using machine = new Machine();
    machine.golden("console-ramoops-0");
    const [texts] = await textsOf(machine.open(died(13, 3_000_000, "logos: the last line")));
    expect(texts![0]).toBe("sysrq: Trigger a crash");
  });

  test("come whole where the acknowledged record isn't among them", async () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["a", "b"]));
    const tails = machine.open(died(6, 5, "overwritten long before"));
    expect(tails.map(({ boot }) => boot)).toEqual(["boot-1", "boot-1"]);
    expect(await textsOf(tails)).toEqual([[lostText], ["a", "b"]]);
  });

  test("are of an unknown boot where nothing is known, or another one is known to have died", () => {
    using machine = new Machine();
    machine.golden("dmesg-ramoops-0");
    expect(machine.open()[0]!.boot).toMatch(/^unknown-[0-9a-f]{24}$/);
    // All of this boot is there from its first record on, but not the acknowledged one.
    const tails = machine.open(died(6, 5, "of an earlier boot"));
    expect(tails.map(({ boot }) => boot.slice(0, 8))).toEqual(["boot-1", "unknown-"]);
  });

  test("that came through before the end make no stream, and are gone", () => {
    using machine = new Machine();
    machine.write(`${kernel}/console-ramoops-0`, "[   10.000000] a\n[   10.000001] b\n");
    expect(machine.open(died(6, 10_000_001, "b"))).toEqual([]);
    expect(machine.files()).toEqual([]);
  });

  test("have the same stream and seqs after a restart, and others if more is left out", async () => {
    using machine = new Machine();
    machine.golden("dmesg-ramoops-0");
    const known = died(14, 2_900_001, "app: userspace line 0");
    const [first, second] = [machine.open(known)[0]!, machine.open(known)[0]!];
    expect(second.stream).toBe(first.stream);
    expect(await readAll(second)).toEqual(await readAll(first));
    expect(machine.open()[0]!.stream).not.toBe(first.stream);
  });

  test("are left alone where the ring itself survived, also at the next start", async () => {
    using machine = new Machine();
    machine.golden("dmesg-ramoops-0", "console-ramoops-0", "pmsg-ramoops-0");
    const tails = machine.open(undefined, { ringSurvived: true });
    expect(await textsOf(tails)).toEqual([["app: written to pmsg", "app: and an error"]]);
    tails[0]!.shipped();
    expect(machine.files().length).toBe(2);
    expect(machine.open()).toEqual([]);
  });
});

describe("the end of a boot that died", () => {
  const known = died(6, 10_000_000, "a");
  const ofDied = (tails: LastWords[]) => tails.filter(({ boot }) => boot === "boot-1");

  test("is said to be lost where it left nothing, in its own stream and behind what is known", async () => {
    using machine = new Machine();
    const [lost, ...others] = machine.open(known);
    expect(others).toEqual([]);
    expect([lost!.boot, lost!.source, lost!.stream, lost!.over])
      .toEqual(["boot-1", "kmsg", "boot-1", true]);
    const [record] = await readAll(lost!);
    expect(formatRecord(record!))
      .toBe(`4,2,0,g,first=2,last=?,count=0,cause=lost;${lostText}\n`);
    expect(parseGap(record!)).toEqual({ first: 2, last: "?", count: 0, cause: "lost" });
  });

  test("is said to be lost from its first record on where nothing was ever acknowledged", async () => {
    using machine = new Machine();
    const [record] = await readAll(machine.open({ boot: "boot-1" })[0]!);
    expect(parseGap(record!)).toMatchObject({ first: 0, last: "?" });
  });

  test("is said to be lost once, and again as long as that isn't acknowledged", async () => {
    using machine = new Machine();
    const [stopped] = machine.open(known);
    stopped!.close();
    expect(await readAll(stopped!)).toEqual([]);
    stopped!.shipped();
    const [again] = machine.open(known);
    expect((await readAll(again!)).length).toBe(1);
    again!.shipped();
    expect(machine.open(known)).toEqual([]);
    expect(machine.open({ boot: "boot-2" }).length).toBe(1);
  });

  test("isn't lost where the dump goes on from the acknowledged record, also at the next start", () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["a", "b"]));
    const tails = machine.open(known);
    expect(tails.map(({ source }) => source)).toEqual(["pstore"]);
    tails[0]!.shipped();
    expect(machine.open(known)).toEqual([]);
  });

  test("isn't lost where all of it came through before, also at the next start", () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["a"]));
    expect(machine.open(known)).toEqual([]);
    expect(machine.files()).toEqual([]);
    expect(machine.open(known)).toEqual([]);
  });

  test("isn't lost where nothing was acknowledged and the dump begins with the boot", () => {
    using machine = new Machine();
    machine.golden("dmesg-ramoops-0");
    const tails = ofDied(machine.open({ boot: "boot-1" }));
    expect(tails.map(({ source }) => source)).toEqual(["pstore"]);
  });

  test("is lost before a dump that begins later, with the time of the dump", async () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["c"]));
    const tails = machine.open(died(6, 5, "overwritten long before"));
    expect(tails.map(({ source }) => source)).toEqual(["kmsg", "pstore"]);
    expect((await readAll(tails[0]!))[0]!.usec).toBe(10_000_000);
  });

  test("is told by the ring where that survived, also once it has forgotten that boot", () => {
    using machine = new Machine();
    expect(machine.open(known, { ringSurvived: true })).toEqual([]);
    expect(machine.open(known)).toEqual([]);
  });
});

describe("a dump that was shipped", () => {
  test("is deleted where the kernel keeps it, and only remembered where systemd does", () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["a"]));
    machine.write(`${moved}/1700000000/dmesg-ramoops-0`, dump(["b"]));
    machine.write(`${moved}/1700000000/001/dmesg-efi-170000000001001`, dump(["c"]));
    machine.write(`${moved}/1700000000/dmesg.txt`, "b");
    const tails = machine.open();
    expect(tails.length).toBe(3);
    expect(machine.files().length).toBe(3);
    for (const tail of tails) tail.shipped();
    expect(machine.files().filter((path) => path.startsWith(kernel))).toEqual([]);
    expect(machine.files().length).toBe(2);
    expect(machine.open()).toEqual([]);
    expect(machine.reports).toEqual([]);
  });

  test("isn't shipped again though it can't be deleted", () => {
    using machine = new Machine();
    const path = `${kernel}/dmesg-ramoops-0`;
    machine.write(path, dump(["a"]));
    const [tail] = machine.open();
    // Tests may run as root, whom nothing but a folder stops.
    renameSync(machine.path(path), machine.path("aside"));
    mkdirSync(machine.path(path));
    tail!.shipped();
    expect(machine.reports[0]).toStartWith(`Cannot delete ${machine.path(path)}: E`);
    rmdirSync(machine.path(path));
    renameSync(machine.path("aside"), machine.path(path));
    expect(machine.open()).toEqual([]);
  });

  test("isn't shipped again after systemd moved it", () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["a"]));
    const [tail] = machine.open();
    machine.write(`${moved}/dmesg-ramoops-0`, dump(["a"]), 2_000);
    tail!.shipped();
    expect(machine.open()).toEqual([]);
  });

  test("that is in both places is shipped once", () => {
    using machine = new Machine();
    for (const folder of [kernel, moved]) machine.write(`${folder}/dmesg-ramoops-0`, dump(["a"]));
    const tails = machine.open();
    expect(tails.length).toBe(1);
    tails[0]!.shipped();
    // The copy that wasn't read from is the kernel's: its room is given back at the next start.
    expect(machine.open()).toEqual([]);
    expect(machine.files()).toEqual([`${moved}/dmesg-ramoops-0`]);
  });

  test("only in part, because the agent was stopped, comes again", async () => {
    using machine = new Machine();
    machine.write(
      `${kernel}/dmesg-ramoops-0`,
      dump(Array.from({ length: 900 }, (_, i) => `l${i}`)),
    );
    const [tail] = machine.open();
    expect((await tail!.read())!.length).toBe(500);
    tail!.close();
    expect(await tail!.read()).toBeUndefined();
    tail!.shipped();
    const [again] = machine.open();
    expect([again!.stream, (await readAll(again!)).length]).toEqual([tail!.stream, 900]);
  });

  test("says nothing of a clock: the boot that it is of has none any more", async () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["a", "b"]));
    const [source] = machine.open();
    const network = new FakeNetwork((post) => post.accept());
    await runPipeline({
      source: source!,
      receivers: ["http://one"],
      token: () => Promise.resolve("token"),
      kernelUs: () => 1_000,
      wallSynced: () => true,
      report: () => {},
      clock: new FakeClock(),
      random: () => 0.5,
      fetch: network.fetch,
    });
    expect(network.posts.flatMap(({ records }) => records.map(({ flag, text }) => flag + text)))
      .toEqual(["pa", "pb"]);
    expect(network.last.headers.get("Logmill-Source")).toBe("pstore");
  });

  test("is shipped again where the memory of it is torn, as the grinder will notice", () => {
    using machine = new Machine();
    machine.write(`${moved}/dmesg-ramoops-0`, dump(["a"]));
    machine.open()[0]!.shipped();
    writeFileSync(join(machine.state, "pstore-shipped"), "\xff\0 nonsense\nmore");
    expect(machine.open().length).toBe(1);
  });
});

describe("dumps of several boots", () => {
  test("come oldest first; the newest is of the boot that died", async () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-1`, dump(["b"]), 2_000);
    machine.write(`${moved}/5/dmesg-ramoops-0`, dump(["a"]), 1_000);
    machine.write(`${kernel}/dmesg-ramoops-0`, dump(["c"]), 3_000);
    const tails = machine.open({ boot: "boot-1" });
    expect(await textsOf(tails)).toEqual([[lostText], ["a"], ["b"], ["c"]]);
    const boots = ["boot-1", "unknown-", "unknown-", "boot-1"];
    expect(tails.map(({ boot }) => boot.slice(0, 8))).toEqual(boots);
    expect(new Set(tails.map(({ stream }) => stream)).size).toBe(4);
  });

  test("by the thousand come in parts, from start to start, each once", async () => {
    using machine = new Machine();
    const text = "x".repeat(50_000);
    for (let i = 0; i < 1_000; i++) {
      machine.write(`${moved}/${i}/dmesg-ramoops-0`, dump([`boot ${i}`, text]), 1_000 + i);
    }
    const seen: string[] = [];
    for (let start = 0; seen.length < 1_000; start++) {
      expect(start).toBeLessThan(10);
      const tails = machine.open();
      expect(tails.length * text.length).toBeLessThanOrEqual(limits.pstoreBytesMax);
      for (const [first] of await textsOf(tails)) seen.push(first!);
      for (const tail of tails) tail.shipped();
    }
    expect(seen).toEqual(Array.from({ length: 1_000 }, (_, i) => `boot ${i}`));
    expect(machine.open()).toEqual([]);
    const memory = readFileSync(join(machine.state, "pstore-shipped"), "utf8");
    expect(memory.split("\n").length - 1).toBeLessThanOrEqual(limits.pstoreRememberedMax);
  });
});

describe("a dump that can't be used", () => {
  test("is said once and left alone, and the others are shipped", async () => {
    using machine = new Machine();
    machine.write(`${kernel}/dmesg-ramoops-0.enc.z`, "\x78\x9c compressed");
    machine.write(`${kernel}/dmesg-ramoops-1`, "");
    machine.write(`${kernel}/dmesg-ramoops-2`, dump(["a"]));
    machine.write(`${kernel}/dmesg-ramoops-3`, Buffer.alloc(limits.pstoreBytesMax + 1));
    machine.write(`${kernel}/ftrace-ramoops-0`, "binary");
    const tails = machine.open();
    expect(await textsOf(tails)).toEqual([["a"]]);
    expect(machine.reports.map((text) => text.slice(text.lastIndexOf("/")))).toEqual([
      "/dmesg-ramoops-0.enc.z: the kernel couldn't decompress it. It is left alone.",
      `/dmesg-ramoops-3: it must have at most ${limits.pstoreBytesMax} bytes: it has ` +
      `${limits.pstoreBytesMax + 1}. It is left alone.`,
    ]);
    tails[0]!.shipped();
    expect(machine.files().length).toBe(4);
  });

  test("because it is of something else comes as lines, whatever they are", async () => {
    using machine = new Machine();
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * i * 7 + i) & 0xff);
    machine.write(`${kernel}/dmesg-ramoops-0`, bytes);
    const [texts] = await textsOf(machine.open());
    expect(texts!.every((text) => /^[ -~]*$/.test(text))).toBe(true);
  });

  test("isn't there where no pstore is mounted", () => {
    using machine = new Machine();
    expect(machine.open(undefined, { root: join(machine.folder.path, "nowhere") })).toEqual([]);
    expect([machine.reports, existsSync(join(machine.state, "pstore-shipped"))]).toEqual([
      [],
      false,
    ]);
  });
});
