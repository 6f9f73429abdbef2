import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { S3Storage } from "../../shared/storage/s3.ts";
import { s3Client } from "../../shared/storage/s3_bucket.ts";
import { epochKey, formatCommitted, segmentPath } from "../../shared/storage/storage.ts";
import { Ceph, cephMissing } from "../ceph.ts";
import { TemporaryFolder } from "../fixtures.ts";
import { Fleet } from "../fleet/fleet.ts";
import { seededRandom } from "../fleet/random.ts";
import { bunPath, killAll, Program, root, startGrinder } from "../programs.ts";
import { formatVerdict, verify } from "../verify/verify.ts";

afterAll(killAll);

const rounds = 3;
const random = seededRandom(30);
const missing = cephMissing();
if (missing) console.log(`no real S3 server is killed here: ${missing}`);

test.skipIf(missing !== undefined)(
  `receiver, radosgw and OSD killed ${rounds} times each in the middle of uploads lose and double nothing`,
  async () => {
    using folder = new TemporaryFolder();
    const ceph = await Ceph.start("bluestore");
    try {
      await killInTurn(ceph, folder.path);
    } finally {
      killAll();
      await ceph.stop();
    }
  },
  300_000,
);

async function killInTurn(ceph: Ceph, folder: string): Promise<void> {
  const bucket = await ceph.newBucket();
  const allow = join(folder, "devices");
  writeFileSync(allow, "");
  const start = (port: string) => startReceiver(ceph, bucket, "--allow", allow, "--port", port);
  let receiver = await start("0");
  const { port } = new URL(receiver.url);
  const journal = join(folder, "fleet.jsonl");
  const fleet = new Fleet({
    receivers: [receiver.url],
    devices: 20,
    bytesPerSecond: 4_000,
    rebootSeconds: 60,
    seed: 11,
    allowList: allow,
    journalPath: journal,
  });
  await fleet.start();
  for (let round = 0; round < rounds; round++) {
    await pause();
    await receiver.program.kill();
    receiver = await start(port);
    await pause();
    await ceph.kill("radosgw");
    await ceph.restart("radosgw");
    await pause();
    // PUTs hang from here on: some are given up with the receiver, and arrive all the same.
    await ceph.kill("osd");
    await pause();
    if (round % 2 === 0) await receiver.program.kill();
    await ceph.restart("osd");
    if (round % 2 === 0) receiver = await start(port);
  }
  expect(await fleet.stop(60_000)).toBe(true);
  expect(await receiver.program.stop()).toBe(0);

  console.log(`${await copySegments(ceph, bucket, folder)} objects`);
  const grinder = await startGrinder(folder, "--once");
  if (await grinder.exited() !== 0) throw new Error(grinder.output);
  const verdict = await verify({ data: folder, journal, rules: join(root, "rules.ts") });
  console.log(formatVerdict(verdict));
  expect(verdict.ok).toBe(true);
  expect(verdict.totals.records).toBeGreaterThan(1000);
  expect(verdict.totals.events).toBeGreaterThan(10);
  expect(fleet.stats().acked).toBeLessThanOrEqual(verdict.totals.records);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 200 + random() * 800));
}

/** The keys are the child's alone: this process hasn't got them. */
async function startReceiver(
  { endpoint, credentials }: Ceph,
  bucket: string,
  ...options: string[]
): Promise<{ program: Program; url: string }> {
  const keys = [
    `AWS_ACCESS_KEY_ID=${credentials.accessKeyId}`,
    `AWS_SECRET_ACCESS_KEY=${credentials.secretAccessKey}`,
  ];
  const place = ["--data", `s3://${bucket}/logs`, "--s3-endpoint", endpoint];
  const words = [bunPath, "receiver/main.ts", ...place, "--s3-interval", "100", ...options];
  const program = new Program("receiver", "env", [...keys, ...words]);
  const [, url] = await program.says(/listening on (\S+)/);
  return { program, url: url! };
}

/** Everything that can be read goes into a folder as it is; returns how many objects that were. */
async function copySegments(ceph: Ceph, bucket: string, folder: string): Promise<number> {
  const client = s3Client({ ...ceph, endpoint: ceph.endpoint });
  const storage = new S3Storage({ bucket, prefix: "logs", client });
  const extents = await storage.list(new Map());
  for (const extent of extents) {
    const path = join(folder, segmentPath(extent));
    mkdirSync(dirname(path), { recursive: true });
    const bytes = await storage.read(extent, 0, limits.s3ObjectBytesMax);
    expect(bytes.length).toBe(extent.length);
    writeFileSync(path, bytes);
    const { segment, length } = extent;
    const committed = formatCommitted({ segment, length, ended: true });
    writeFileSync(join(folder, "segments", epochKey(extent), "committed"), committed);
  }
  return extents.length;
}
