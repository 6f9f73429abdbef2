import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeleteObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, expect, test } from "bun:test";
import { S3Storage } from "../../shared/storage/s3.ts";
import { FakeS3, s3Error } from "../../shared/storage/s3_fake.ts";
import { blockText, lines, noonUs, Store } from "./fixtures.ts";
import { hotFrom } from "./manifest.ts";
import { placeContract } from "./place_contract.ts";
import { FolderPlace } from "./place_folder.ts";
import { S3Place } from "./place_s3.ts";
import { deleteHot } from "./sweep.ts";

/** With deletion, which receivers and readers have no need of. */
class FakeWithDelete extends FakeS3 {
  override send(command: unknown, options: { abortSignal: AbortSignal }): Promise<unknown> {
    if (!(command instanceof DeleteObjectCommand)) return super.send(command, options);
    this.objects.delete(command.input.Key!);
    return Promise.resolve({});
  }
}

const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

placeContract("FolderPlace", () => {
  const folder = mkdtempSync(join(tmpdir(), "logmill-place-"));
  folders.push(folder);
  return Promise.resolve(new FolderPlace(folder));
});

const s3Options = (fake: FakeS3) => ({
  bucket: "b",
  prefix: "p",
  client: fake.client,
  tryMs: 1000,
});

placeContract("S3Place", () => Promise.resolve(new S3Place(s3Options(new FakeWithDelete()))));

test("S3Place: on a server without conditions whoever came first finds out that he was replaced", async () => {
  const fake = new FakeWithDelete();
  fake.conditions = "ignored";
  const place = new S3Place(s3Options(fake));
  // Both put before either reads back.
  const put = await Promise.all([
    place.putNew("archive/m/1", "one"),
    place.putNew("archive/m/1", "two"),
  ]);
  expect(put.toSorted()).toEqual([false, true]);
});

test("S3Place: what can't be deleted is an error of the storage", async () => {
  const fake = new FakeWithDelete();
  const place = new S3Place(s3Options(fake));
  fake.send = () => Promise.reject(s3Error("AccessDenied", 403));
  await expect(place.remove("archive/a")).rejects.toThrow("Cannot delete s3://b/p/archive/a");
});

test("the archive on S3 gives what was stored, once, and hot objects go", async () => {
  const fake = new FakeWithDelete();
  const clock = { ms: noonUs / 1000 };
  const storage = new S3Storage({ ...s3Options(fake), intervalMs: 1, nowMs: () => clock.ms });
  using store = new Store(new S3Place(s3Options(fake)), storage);
  await store.receive([blockText(lines(0, 9)), blockText(lines(10, 19))], "r1");
  await store.receive([blockText(lines(5, 14), { recvUs: noonUs + 1 })], "r2");
  expect((await store.archiver().run())!.rows).toBe(20);
  const seqs = (await store.archived()).map((row) => Number(row.split(",")[1]));
  expect(seqs.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  const manifest = await store.manifest();
  expect(await store.hot(hotFrom(manifest))).toEqual([]);
  const pass = await deleteHot(storage, store.place, manifest, {
    nowMs: store.nowMs + 3.7e6,
    readers: [],
  });
  expect(pass.deletedSegments).toBe(
    [...fake.objects.keys()].filter((key) => key.includes("segments/"))
      .filter((key) => key.endsWith(".zst")).length + pass.deletedSegments,
  );
  expect(pass.deletedSegments).toBeGreaterThan(1);
  expect(await store.hot()).toEqual([]);
  store.nowMs += 3 * 3_600_000;
  await store.receive([blockText(lines(20, 24), { recvUs: noonUs + 9 })], "r1");
  await store.archiver().run();
  while (await store.archiver().merge());
  expect((await store.archived()).length).toBe(25);
  expect((await store.manifest()).files.length).toBe(1);
});
