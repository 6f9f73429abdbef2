/**
 * How long until the first line of a narrative: one device, one hour, out of a day of 10,000 devices that
 * say 1 MB each, on disk, and on S3 (a real Ceph, if it can run here). `bun bench/history/narrative.ts`
 * prints a table, and JSON in the last line. `--scale` says how much of the other devices' text there is:
 * of the one that is told of all is there, in as many frames (narrative_store.ts).
 *
 * Each number is of a process of its own, from its start to the first line, less what the same runtime
 * takes from its start to the first line of a program that does nothing else; the best of several.
 * results.txt has what it printed.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Engine } from "../../grinder/engine/engine.ts";
import { indexPath } from "../../grinder/index/index_file.ts";
import { IndexWriter } from "../../grinder/index/index_writer.ts";
import type { BootName } from "../../grinder/index/part_builder.ts";
import { narrative } from "../../grinder/narrative/narrative.ts";
import { prepare } from "../../grinder/narrative/prepare.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { s3Client } from "../../shared/storage/s3_bucket.ts";
import { S3Storage } from "../../shared/storage/s3.ts";
import { epochKey, type Storage } from "../../shared/storage/storage.ts";
import { Ceph, cephMissing } from "../../tests/ceph.ts";
import { denoPath, root } from "../../tests/programs.ts";
import { fillStore, type Stored, toldDevice } from "./narrative_store.ts";

const { values } = parseArgs({
  args: import.meta.main ? process.argv.slice(2) : [],
  options: {
    scale: { type: "string", default: "0.02" },
    devices: { type: "string", default: "10000" },
    /** Objects are one a second: a whole day of them takes long to put. */
    "s3-hours": { type: "string", default: "2" },
    runs: { type: "string", default: "5" },
    "skip-s3": { type: "boolean", default: false },
  },
});
const [scale, devices, runs] = [values.scale, values.devices, values.runs].map(Number) as Triple;
type Triple = [number, number, number];
const startUs = Date.UTC(2026, 10, 22) * 1000;
const hourUs = 3600e6;
const folder = mkdtempSync(join(tmpdir(), "logmill-narrative-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

interface Place {
  name: string;
  hours: number;
  /** Where the hour begins that is told. */
  sinceUs: number;
  options: Record<string, string>;
  env?: Record<string, string>;
}

interface Row {
  place: string;
  textMB: number;
  storedMB: number;
  indexMB: number;
  firstMs: number;
  wholeMs: number;
  withoutIndexMs: number;
  reads: number;
  readKB: number;
  records: number;
}

async function onDisk(): Promise<Row> {
  const data = join(folder, "disk");
  let nowMs = startUs / 1000;
  const storage = new FolderStorage(data, { nowMs: () => nowMs });
  const epoch = await storage.createEpoch("r1");
  const setNow = (us: number) => void (nowMs = us / 1000);
  const made = await fillStore({
    epoch,
    devices,
    hours: 24,
    scale,
    startUs,
    setNow,
    framesPerCommit: 200,
  });
  const place = {
    name: "disk",
    hours: 24,
    sinceUs: startUs + 12 * hourUs,
    options: { data, out: data },
  };
  return measure(place, made, storage);
}

async function onS3(): Promise<Row> {
  const ceph = await Ceph.start("memstore");
  try {
    const Bucket = await ceph.newBucket();
    const env = {
      AWS_ACCESS_KEY_ID: ceph.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: ceph.credentials.secretAccessKey,
    };
    Object.assign(process.env, env);
    let nowMs = startUs / 1000;
    const client = s3Client({ endpoint: ceph.endpoint, region: ceph.region });
    const storage = new S3Storage({ bucket: Bucket, prefix: "", client, nowMs: () => nowMs });
    const hours = Number(values["s3-hours"]);
    const epoch = await storage.createEpoch("r1");
    const setNow = (us: number) => void (nowMs = us / 1000);
    // A second's frames, as a receiver puts them.
    const framesPerCommit = Math.max(1, Math.round(devices * scale / 8.2 / 10));
    const made = await fillStore({
      epoch,
      devices,
      hours,
      scale,
      startUs,
      setNow,
      framesPerCommit,
    });
    const out = join(folder, "s3");
    const options = { data: `s3://${Bucket}`, out, "s3-endpoint": ceph.endpoint };
    const sinceUs = startUs + (hours - 1) / 2 * hourUs;
    return await measure({ name: "S3 (radosgw)", hours, sinceUs, options, env }, made, storage);
  } finally {
    await ceph.stop();
  }
}

async function measure(place: Place, made: Stored, storage: Storage): Promise<Row> {
  const words = [
    ...[toldDevice, "--since", iso(place.sinceUs), "--until", iso(place.sinceUs + hourUs)],
    ...Object.entries(place.options).flatMap(([name, value]) => [`--${name}`, value]),
  ];
  const without = await best(words, place.env, 1);
  await index(storage, place.options["out"]!);
  const empty = join(folder, "empty.ts");
  writeFileSync(empty, 'console.log("");\n');
  const start = await best([], place.env, runs, empty);
  const told = await best(words, place.env, runs);
  const { reads, readBytes, records } = await bytesRead(place);
  return {
    place: place.name,
    textMB: mb(made.textBytes),
    storedMB: mb(made.storedBytes),
    indexMB: mb(statSync(indexPath(place.options["out"]!)).size),
    firstMs: Math.round(told.firstMs - start.firstMs),
    wholeMs: Math.round(told.endMs - start.firstMs),
    withoutIndexMs: Math.round(without.firstMs - start.firstMs),
    reads,
    readKB: Math.round(readBytes / 1e3),
    records,
  };
}

/** As a grinder that reads what comes: a part for each `indexPartMs` of receiving. */
async function index(storage: Storage, out: string): Promise<void> {
  let nowMs = 0;
  const writer = IndexWriter.open(out, { nowMs: () => nowMs, report: console.error });
  await using engine = new Engine({ rules: [], rulesPath: "-", threads: 0, warn: console.error });
  const names = new Map<string, BootName>();
  const cursors = new Map();
  for await (const { read, digest } of engine.digests(storage, cursors)) {
    cursors.set(epochKey(read), read.next);
    writer.take(read);
    for (const block of digest.blocks) {
      nowMs = block.recvUs / 1000;
      const [device, boot] = block.names.split(" ") as [string, string];
      const name = names.get(device) ?? { device, boot, clockKey: `${device} ${boot}` };
      names.set(device, name);
      writer.block(name, block.recvUs, block.firstUsec);
    }
    writer.commit();
  }
  writer.flush();
  writer[Symbol.dispose]();
}

/** The same narrative in this process, with its reads of segments counted. */
async function bytesRead({ sinceUs, options }: Place) {
  const counted = { reads: 0, readBytes: 0, records: 0 };
  const asked = {
    ...{
      since: iso(sinceUs),
      until: iso(sinceUs + hourUs),
      minutes: 5,
      rules: join(root, "rules.ts"),
    },
    ...(options as { data: string; out: string }),
  };
  const { options: all, storage } = await prepare([toldDevice], asked, Date.now(), console.error);
  const read = storage.read.bind(storage);
  storage.read = async (...place) => {
    const bytes = await read(...place);
    counted.reads++;
    counted.readBytes += bytes.length;
    return bytes;
  };
  for await (const { kind } of narrative(all)) if (kind === "record") counted.records++;
  return counted;
}

interface Times {
  firstMs: number;
  endMs: number;
}

async function best(
  words: string[],
  env: Record<string, string> | undefined,
  runs: number,
  program = join(root, "grinder/narrative/main.ts"),
): Promise<Times> {
  const all: Times[] = [];
  for (let i = 0; i < runs; i++) all.push(await run(program, words, env ?? {}));
  const least = (key: keyof Times) => Math.min(...all.map((times) => times[key]));
  return { firstMs: least("firstMs"), endMs: least("endMs") };
}

function run(program: string, words: string[], env: Record<string, string>): Promise<Times> {
  const flags = ["read", "write", "env", "sys", "net"].map((name) => `--allow-${name}`);
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const child = spawn(denoPath, [
      "run",
      "--config",
      join(root, "deno.json"),
      ...flags,
      program,
      ...words,
    ], {
      cwd: root,
      env: { ...process.env, ...env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let firstMs = 0;
    child.stdout.on("data", () => firstMs ||= performance.now() - startMs);
    child.on("close", (status) => {
      if (status === 0 && firstMs > 0) resolve({ firstMs, endMs: performance.now() - startMs });
      else reject(new Error(`${program} ended with ${status}, first line after ${firstMs} ms`));
    });
  });
}

function iso(us: number): string {
  return new Date(us / 1000).toISOString();
}

function mb(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}

/** Milliseconds to the first line, and what else is in the table; 10,000 devices unless told otherwise. */
export async function measureNarrative(): Promise<Record<string, number>> {
  const rows = [await onDisk()];
  const missing = cephMissing();
  if (missing || values["skip-s3"]) console.log(`S3 is left out: ${missing ?? "--skip-s3"}`);
  else rows.push(await onS3());
  console.table(rows);
  const [disk, s3] = rows.map(numbersOf);
  const named = (row: Record<string, number>, infix: string) =>
    Object.entries(row).map(([key, value]) => [`narrative_${infix}${key}`, value] as const);
  const all = Object.fromEntries([...named(disk!, ""), ...s3 ? named(s3, "s3_") : []]);
  const { firstMs: narrative_ms } = rows[0]!;
  const narrative_s3_ms = rows[1]?.firstMs;
  return {
    narrative_ms,
    ...(narrative_s3_ms === undefined ? {} : { narrative_s3_ms }),
    ...{ narrative_devices: devices, narrative_scale: scale },
    ...all,
  };
}

function numbersOf(row: Row): Record<string, number> {
  const { place: _, firstMs: __, ...numbers } = row;
  return numbers;
}

if (import.meta.main) {
  const machine = `${cpus().length} cores (${cpus()[0]!.model}), load ${loadavg()[0]!.toFixed(1)}`;
  console.log(`$ bun bench/history/narrative.ts ${process.argv.slice(2).join(" ")}`.trimEnd());
  console.log(`Linux ${release()}, ${machine}, Bun ${process.versions.bun}`);
  console.log(`${devices} devices, scale ${scale} (of the others' text), best of ${runs} runs`);
  console.log(JSON.stringify(await measureNarrative()));
  process.exit(0);
}
