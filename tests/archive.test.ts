/** `deno task archive` as a program: on a folder, on the real Ceph, beside a grinder. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "bun:test";
import { blockText, lines, noonUs, Store } from "../grinder/archive/fixtures.ts";
import { ArchiverLock } from "../grinder/archive/lock.ts";
import { S3Place } from "../grinder/archive/place_s3.ts";
import { S3Storage } from "../shared/storage/s3.ts";
import { s3Client } from "../shared/storage/s3_bucket.ts";
import { Ceph, cephMissing } from "./ceph.ts";
import { denoPath, grinderPermissions, root } from "./programs.ts";

const permissions = [...grinderPermissions.slice(1), "--allow-ffi"];

function archive(data: string, args: string[] = [], env: Record<string, string> = {}) {
  const { status, stderr } = spawnSync(
    denoPath,
    ["run", ...permissions, "grinder/archive/main.ts", "--data", data, ...args],
    { cwd: root, encoding: "utf8", env: { ...process.env, ...env } },
  );
  return { status, stderr };
}

/** Some devices in some partitions, with what isn't plain among it. */
async function storeDevices(store: Store): Promise<void> {
  const odd = "no record\n7,20,5,-;caf\xc3\xa9\n7,21,6,-,caller=T1;x\n SUBSYSTEM=usb\n";
  for (let device = 0; device < 12; device++) {
    const names = { device: `d${device}`, recvUs: noonUs + device * 1000 };
    await store.receive([blockText(lines(0, 9) + odd, names), blockText(lines(5, 14), names)]);
  }
}

describe("archive as a program", () => {
  test(
    "archives in threads what is stored, each record once, and nothing the second time",
    async () => {
      using store = new Store();
      await storeDevices(store);
      const first = archive(store.data, ["--threads", "2", "--partitions", "4"]);
      expect(first.stderr).toContain("12 segments, 216 records");
      expect(first.status).toBe(0);
      const rows = await store.archived();
      expect(rows.length).toBe(12 * 18);
      expect(new Set(rows).size).toBe(rows.length);
      expect(rows.filter((row) => row.includes("SUBSYSTEM=usb")).length).toBe(12);
      expect(archive(store.data).stderr).toContain("0 segments, 0 records");
      expect((await store.archived()).toSorted()).toEqual(rows.toSorted());
      expect(readdirSync(join(store.data, "archive")).toSorted())
        .toEqual(["day=2026-11-22", "lock", "manifests", "scratch", "seen"]);
    },
    60_000,
  );

  test("leaves the segments as they are where a thread can't write, and says why", async () => {
    using store = new Store();
    await storeDevices(store);
    mkdirSync(join(store.data, "archive"));
    // In the way of the folder that it needs.
    writeFileSync(join(store.data, "archive/day=2026-11-22"), "");
    const { status, stderr } = archive(store.data, ["--threads", "2"]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("Cannot write archive/day=")]);
    expect((await store.manifest()).version).toBe(0);
    expect(readdirSync(join(store.data, "archive/scratch"))).toEqual([]);
  }, 60_000);

  test("stops at a file of its own that was cut short, when it merges", async () => {
    using store = new Store();
    for (const recvUs of [noonUs, noonUs + 60e6]) {
      await store.receive([blockText(lines(0, 9), { recvUs, stream: `s${recvUs}` })]);
      // Its hour is long over.
      if (recvUs === noonUs) await store.archiver().run();
    }
    await store.archiver().run();
    const [file] = (await store.manifest()).files;
    truncateSync(join(store.data, file!.path), file!.bytes - 50);
    const { status, stderr } = archive(store.data);
    expect(stderr).toContain(`Cannot read ${file!.path} because it must have ${file!.bytes} bytes`);
    expect(status).toBe(1);
    expect((await store.manifest()).version).toBe(2);
  }, 60_000);

  test("refuses to run beside another one, and runs when that has ended", async () => {
    using store = new Store();
    await storeDevices(store);
    const path = join(store.data, "archive/lock");
    {
      using _held = new ArchiverLock(path);
      const refused = archive(store.data);
      expect(refused.stderr).toContain(`one archiver must run at a time: ${path} is another's`);
      expect(refused.status).toBe(1);
    }
    expect(archive(store.data).status).toBe(0);
  }, 60_000);

  test.each([
    [["--keep", "30m"], "Cannot use --keep because it must be at least 1h"],
    [["--keep-hot", "7d"], "Cannot use --keep-hot because it must be at least 1h, and at most"],
    [["--keep", "soon"], "Cannot read --keep because it must be like 60d"],
    [["--threads", "0"], "Cannot use --threads because it must be a whole number"],
  ])("refuses %s", (args, why) => {
    using store = new Store();
    const { status, stderr } = archive(store.data, args);
    expect([status, stderr]).toEqual([2, expect.stringContaining(why)]);
  }, 30_000);
});

const missing = cephMissing();
if (missing) console.error(`skipped: archive on Ceph: ${missing}`);

describe.skipIf(missing !== undefined)("archive on Ceph's radosgw", () => {
  test(
    "archives in threads what is in a bucket, deletes old files there, and gives all rows back",
    async () => {
      const ceph = await Ceph.start("memstore");
      try {
        const bucket = await ceph.newBucket();
        const { region, credentials, endpoint } = ceph;
        const options = {
          bucket,
          prefix: "p",
          client: s3Client({ region, credentials, endpoint }),
        };
        using store = new Store(new S3Place(options), new S3Storage(options));
        await storeDevices(store);
        const env = {
          AWS_ACCESS_KEY_ID: credentials.accessKeyId,
          AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
          TMPDIR: store.folder,
        };
        const place = `s3://${bucket}/p`;
        const args = ["--s3-endpoint", endpoint, "--threads", "2", "--partitions", "2"];
        expect(archive(place, args, env)).toEqual({
          status: 0,
          stderr: expect.stringContaining("216 records"),
        });
        const rows = await store.archived();
        expect(rows.length).toBe(12 * 18);
        expect(new Set(rows).size).toBe(rows.length);
        // All of it was received at a time that is not now.
        const keep = archive(place, [...args, "--keep", "1h"], env);
        const old = Date.now() - noonUs / 1000 > 3_600_000 ? "2 archive files were too old" : "";
        expect([keep.status, keep.stderr]).toEqual([0, expect.stringContaining(old)]);
      } finally {
        await ceph.stop();
      }
    },
    120_000,
  );
});
