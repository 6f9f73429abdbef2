import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { AllowList } from "./allowlist.ts";
import { testPlaces } from "./allowlist_contract.ts";
import { FilePlace } from "./allowlist_file.ts";
import { folderPlaces } from "./allowlist_place.ts";

testPlaces("a folder", () => {
  const folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  return Promise.resolve({
    places: folderPlaces(folder.path),
    reopen: () => Promise.resolve(folderPlaces(folder.path)),
    breakDown() {
      // A directory in its place: reading fails, for root too.
      renameSync(path, `${path}.away`);
      symlinkSync(folder.path, path);
      return () => {
        rmSync(path);
        renameSync(`${path}.away`, path);
      };
    },
    cleanup: () => Promise.resolve(folder[Symbol.dispose]()),
  });
});

const replace = async (place: FilePlace, text: string) =>
  await place.replace(text, (await place.read())!.stamp);

test("a file's edit keeps its mode, its owner and a symbolic link to it", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, "one\n");
  chmodSync(path, 0o640);
  if (process.getuid!() === 0) chownSync(path, 4711, 4712);
  const { uid, gid } = statSync(path);
  const link = join(folder.path, "link");
  symlinkSync(path, link);
  await replace(new FilePlace(link), "two\n");
  expect(readFileSync(path, "utf8")).toBe("two\n");
  const stat = statSync(path);
  expect([stat.mode & 0o777, stat.uid, stat.gid]).toEqual([0o640, uid, gid]);
});

test("a file's edit leaves nothing else behind, whether it is made or not", async () => {
  using folder = new TemporaryFolder();
  const place = new FilePlace(join(folder.path, "devices"));
  await replace(place, "one\n");
  expect(await place.replace("two\n", "another stamp")).toBe(false);
  expect(readdirSync(folder.path)).toEqual(["devices"]);
});

test("a file's edit is a new file, so that who reads the old one reads on in it", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, "one\n");
  const { ino } = statSync(path);
  await replace(new FilePlace(path), "two\n");
  expect(statSync(path).ino).not.toBe(ino);
});

test("a file's edit makes the folders on the way", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "data/knocked/r1");
  await replace(new FilePlace(path), "one\n");
  expect(readFileSync(path, "utf8")).toBe("one\n");
});

test("an allow-list's file that an editor moves away for a moment cuts nobody off, at the second look everybody", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  const line = `${"A".repeat(43)} one\n`;
  writeFileSync(path, line);
  const list = await AllowList.open(new FilePlace(path));
  rmSync(path);
  expect([await list.reload(), list.size]).toEqual([false, 1]);
  writeFileSync(path, `# saved\n${line}`);
  expect([await list.reload(), list.size, list.problem]).toEqual([true, 1, undefined]);
  rmSync(path);
  const looks = [await list.reload(), await list.reload(), await list.reload()];
  expect(looks).toEqual([false, true, false]);
  expect([list.size, list.problem]).toEqual([0, undefined]);
});

test("a file that somebody appends to by hand is read again", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, "one\n");
  const place = new FilePlace(path);
  const { stamp } = (await place.read())!;
  appendFileSync(path, "two\n");
  expect((await place.read(stamp))!.text).toBe("one\ntwo\n");
});

test("a file that is written to while it is being read isn't given out", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, "x".repeat(20_000_000));
  let answer: string | undefined;
  const settled = (text: string) => void (answer = text);
  new FilePlace(path).read().then(() => settled("given out"), ({ message }) => settled(message));
  for (; answer === undefined; await new Promise((turn) => setImmediate(turn))) {
    appendFileSync(path, "x");
  }
  expect(answer).toContain("being written");
});

test("a file that is replaced while it is being read is given out as it was", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  const [one, two] = ["1", "2"].map((digit) => digit.repeat(20_000_000));
  writeFileSync(path, one!);
  const place = new FilePlace(path);
  const reading = place.read();
  await new Promise((turn) => setImmediate(turn)); // It has the old file open by then, or the new one.
  writeFileSync(`${path}.new`, two!);
  renameSync(`${path}.new`, path);
  const { text, stamp } = (await reading)!;
  expect([one, two].includes(text)).toBe(true);
  const next = await place.read(stamp);
  expect((next?.text ?? text) === two).toBe(true);
});

test("a file that is too long for a list isn't read", async () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "devices");
  writeFileSync(path, "");
  truncateSync(path, 300 * 1024 * 1024); // Sparse: it takes no room.
  const error = await new FilePlace(path).read().catch((error) => error);
  expect((error as Error).message).toContain("more than");
});

test("names below a folder are those of whole files", async () => {
  using folder = new TemporaryFolder();
  mkdirSync(join(folder.path, "knocked"));
  writeFileSync(join(folder.path, "knocked/r1"), "");
  writeFileSync(join(folder.path, `knocked/r1.${process.pid}-1.tmp`), "half of");
  expect(await folderPlaces(folder.path).namesBelow("knocked", 10)).toEqual(["r1"]);
});
