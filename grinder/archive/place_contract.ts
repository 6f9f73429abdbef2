/** What every place of archives does: one suite for the folder and for S3. */
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import type { ArchivePlace } from "./place.ts";

export function placeContract(name: string, create: () => Promise<ArchivePlace>): void {
  const folder = mkdtempSync(join(tmpdir(), "logmill-place-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const local = (text: string) => {
    const path = join(folder, "local");
    writeFileSync(path, text);
    return path;
  };
  const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

  describe(name, () => {
    test("gives ranges of what was put, fewer bytes at its end, none where nothing is", async () => {
      const place = await create();
      await place.put("archive/a/b.parquet", local("0123456789"));
      expect(textOf(await place.read("archive/a/b.parquet", 3, 4))).toBe("3456");
      expect(textOf(await place.read("archive/a/b.parquet", 8, 4))).toBe("89");
      expect(textOf(await place.read("archive/a/b.parquet", 20, 4))).toBe("");
      expect(textOf(await place.read("archive/a/c.parquet", 0, 4))).toBe("");
    });

    test("lets one of two put a text that was not there, and says which", async () => {
      const place = await create();
      const put = await Promise.all(
        ["one", "two", "three"].map((text) => place.putNew("archive/m/1", text)),
      );
      expect(put.filter((won) => won).length).toBe(1);
      const winner = ["one", "two", "three"][put.indexOf(true)]!;
      expect(textOf(await place.read("archive/m/1", 0, 100))).toBe(winner);
      expect(await place.putNew("archive/m/1", winner)).toBe(false);
    });

    test("lists what is below a folder in order, with its bytes, and no half of anything", async () => {
      const place = await create();
      expect(await place.list("archive")).toEqual([]);
      await place.put("archive/b/2", local("22"));
      await place.put("archive/a/1", local("1"));
      await place.putNew("archive/c", "333");
      await place.put("elsewhere/a", local("1"));
      expect(await place.list("archive")).toEqual([
        { path: "archive/a/1", bytes: 1 },
        { path: "archive/b/2", bytes: 2 },
        { path: "archive/c", bytes: 3 },
      ]);
    });

    test("removes a file, and one that is gone already", async () => {
      const place = await create();
      await place.put("archive/a/1", local("1"));
      await place.remove("archive/a/1");
      await place.remove("archive/a/1");
      expect(await place.list("archive")).toEqual([]);
    });
  });
}
