/**
 * The real receiver on disks that really fill up: uploads get 503, /healthz says why, and with space
 * again it goes on by itself, with all that it had acknowledged.
 */
import { randomBytes } from "node:crypto";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  openSync,
  statfsSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "bun:test";
import { readBlocks } from "../shared/block.ts";
import { createIdentity, type Identity } from "../shared/identity.ts";
import { readNew } from "../shared/segment_reader.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { epochKey } from "../shared/storage/storage.ts";
import { signToken } from "../shared/token.ts";
import { compressFrame } from "../shared/zstd.ts";
import { TemporaryFolder } from "./fixtures.ts";
import { bunPath, killAll, type Program, root, startReceiver } from "./programs.ts";

const MiB = 1024 * 1024;
const diskBytes = 32 * MiB;
const kinds = ["tmpfs", "ext4"] as const;

/** A file system of its own, gone with the test. */
class Disk extends TemporaryFolder {
  readonly mount = join(this.path, "disk");
  readonly why: string | undefined;

  constructor(kind: typeof kinds[number]) {
    super();
    mkdirSync(this.mount);
    const image = join(this.path, "image");
    if (kind === "ext4") {
      writeFileSync(image, "");
      truncateSync(image, diskBytes);
      this.why = failure("mkfs.ext4", "-q", image);
    }
    const how = kind === "ext4"
      ? ["-o", "loop", image]
      : ["-t", "tmpfs", "-o", `size=${diskBytes}`, "tmpfs"];
    this.why ??= failure("mount", ...how, this.mount);
  }

  override [Symbol.dispose](): void {
    if (this.why === undefined) spawnSync("umount", ["--lazy", this.mount]);
    super[Symbol.dispose]();
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.mount);
    return bavail * bsize;
  }

  /** What others write: so much, or to the last byte. */
  fill(name: string, bytes = Infinity): void {
    const fd = openSync(join(this.mount, name), "w");
    try {
      for (let done = 0; done < bytes; done += MiB) writeSync(fd, new Uint8Array(MiB));
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
    } finally {
      closeSync(fd);
    }
  }

  empty(name: string): void {
    unlinkSync(join(this.mount, name));
  }
}

/** Why a command failed; undefined if it didn't. */
function failure(command: string, ...args: string[]): string | undefined {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? undefined : error?.message ?? stderr.trim();
}

class Device {
  #seq = 0;
  readonly acknowledged: number[] = [];

  constructor(private readonly identity: Identity, private readonly url: string) {}

  /** Half a MiB that doesn't compress, in one POST. */
  async upload(): Promise<{ status: number; answer: Record<string, unknown> }> {
    const seq = this.#seq++;
    const line = `6,${seq},${seq},-;${randomBytes(384 * 1024).toString("base64")}\n`;
    const text = new TextEncoder().encode(`#0 ${seq} ${seq} 1\n${line}`);
    const response = await fetch(`${this.url}v1/logs`, {
      method: "POST",
      headers: {
        "Authorization": `Bearer ${await signToken(this.identity, "logmill", Date.now())}`,
        "Content-Encoding": "zstd",
        "Logmill-Mode": "bulk",
        "Logmill-Boot": "b",
        "Logmill-Source": "kmsg",
        "Logmill-Stream": "s",
      },
      body: new Uint8Array(compressFrame(text)),
    });
    if (response.status === 200) this.acknowledged.push(seq);
    return { status: response.status, answer: await response.json() as Record<string, unknown> };
  }

  async uploadUntil(status: number, mostUploads: number): Promise<Record<string, unknown>> {
    for (let upload = 0; upload < mostUploads; upload++) {
      const got = await this.upload();
      if (got.status === status) return got.answer;
      // Nobody comes back sooner after a refusal.
      if (got.status !== 200) await sleep(200);
    }
    throw new Error(`no answer was ${status}`);
  }

  /** A failed commit is asked after by a probe before the receiver says that it isn't ready. */
  async healthBecomes(status: number): Promise<void> {
    while ((await this.health())[0] !== status) await new Promise((r) => setTimeout(r, 5));
  }

  async health(): Promise<[status: number, text: string]> {
    const response = await fetch(`${this.url}healthz`);
    return [response.status, await response.text()];
  }
}

async function storedSeqs(data: string): Promise<number[]> {
  const cursors = new Map();
  const seqs: number[] = [];
  for await (const read of readNew(new FolderStorage(data), cursors)) {
    cursors.set(epochKey(read), read.next);
    expect(read.damage).toBeUndefined();
    for (const { header } of readBlocks(read.text ?? "")) seqs.push(header.first);
  }
  return seqs;
}

function allow(data: string, thumbprint: string, name: string): number | null {
  const args = ["receiver/main.ts", "allow", thumbprint, "--device", name, "--data", data];
  return spawnSync(bunPath, args, { cwd: root }).status;
}

async function begin(disk: Disk): Promise<{ data: string; device: Device; program: Program }> {
  const data = join(disk.mount, "data");
  const identity = await createIdentity(join(disk.path, "device"));
  expect(allow(data, identity.thumbprint, "kiosk-7")).toBe(0);
  const { program, url } = await startReceiver(data, "--port", "0", "--name", "r1");
  return { data, device: new Device(identity, url), program };
}

/** From here on it has space again, and nobody does anything about it. */
async function expectRecovery(data: string, device: Device, program: Program): Promise<void> {
  const atMs = performance.now();
  await device.uploadUntil(200, 25);
  expect(performance.now() - atMs).toBeLessThan(5_000);
  expect(await device.health()).toEqual([200, "ok\n"]);
  for (let more = 0; more < 5; more++) expect((await device.upload()).status).toBe(200);
  expect(await program.stop()).toBe(0);
  expect(program.output.match(/event=storage_down/g)).toHaveLength(1);
  expect(program.output.match(/event=storage_up/g)).toHaveLength(1);
  // Refused ones may be there as well, where only the acknowledgement failed; none is here.
  expect(await storedSeqs(data)).toEqual(device.acknowledged);
}

afterAll(killAll);

for (const kind of kinds) {
  using probe = new Disk(kind);
  const { why } = probe;
  if (why !== undefined) console.log(`full disk: ${kind} is skipped: ${why}`);

  describe(`a receiver on a full disk of ${kind}`, () => {
    test.skipIf(why !== undefined)(
      "that uploads fill keeps its reserve, says so, and goes on with space again",
      async () => {
        using disk = new Disk(kind);
        disk.fill("others", 12 * MiB);
        const { data, device, program } = await begin(disk);
        const answer = await device.uploadUntil(503, 100);
        expect(device.acknowledged.length).toBeGreaterThan(5);
        expect(answer).toMatchObject({ error: "storage" });
        expect(answer["message"]).toMatch(
          /^Cannot write in .*MiB of its disk must stay free: free are/,
        );
        const stored = device.acknowledged.length;
        for (let more = 0; more < 5; more++) expect((await device.upload()).status).toBe(503);
        expect(device.acknowledged.length).toBe(stored);
        const [status, text] = await device.health();
        expect(status).toBe(503);
        expect(text).toMatch(/^Cannot write in .* must stay free: free are/);
        // A twentieth of the disk is left, for the grinder and for this.
        expect(disk.freeBytes).toBeGreaterThan(diskBytes / 20 - MiB / 2);
        expect(allow(data, "B".repeat(43), "kiosk-8")).toBe(0);
        disk.empty("others");
        await expectRecovery(data, device, program);
      },
      60_000,
    );

    test.skipIf(why !== undefined)(
      "that others fill to the last byte loses nothing, and goes on with space again",
      async () => {
        using disk = new Disk(kind);
        const { data, device, program } = await begin(disk);
        for (let some = 0; some < 5; some++) expect((await device.upload()).status).toBe(200);
        const uploads = device.uploadUntil(503, 50);
        disk.fill("others");
        expect(await uploads).toMatchObject({ error: "storage" });
        await device.healthBecomes(503);
        expect(program.running).toBe(true);
        disk.empty("others");
        await expectRecovery(data, device, program);
      },
      60_000,
    );
  });
}
