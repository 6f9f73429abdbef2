/**
 * What every place of a text must do, and the allow-list on it, as tests: the folder and the bucket
 * run the same suite.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { AllowList } from "./allowlist.ts";
import { addDevice, removeDevice } from "./allowlist_edit.ts";
import type { Device } from "./allowlist_format.ts";
import type { ListPlace, Places } from "./allowlist_place.ts";

export interface OpenedPlaces {
  places: Places;
  /** The same places, as another process sees them. */
  reopen(): Promise<Places>;
  /** Makes them unreadable; what it returns makes them readable again. */
  breakDown(): () => void;
  cleanup(): Promise<void>;
}

const thumbprint = (letter: string) => letter.repeat(43);
const [A, B, C] = ["A", "B", "C"].map(thumbprint) as [string, string, string];
const device = (thumbprint: string, name: string): Device => ({ thumbprint, name, labels: {} });

export function testPlaces(kind: string, open: () => Promise<OpenedPlaces>): void {
  let opened: OpenedPlaces;
  let place: ListPlace;
  beforeEach(async () => {
    opened = await open();
    place = opened.places.at("devices");
  });
  afterEach(() => opened.cleanup());

  /** Puts a text there, whatever there was. */
  const put = async (text: string, at = place) => {
    expect(await at.replace(text, (await at.read())!.stamp)).toBe(true);
  };

  describe(`a place in ${kind}`, () => {
    test("is an empty text while nothing was put there", async () => {
      const { text, stamp } = (await place.read())!;
      expect(text).toBe("");
      expect(await place.read(stamp)).toBeUndefined();
    });

    test("gives back what was put there, and says nothing while it stays so", async () => {
      const missing = (await place.read())!.stamp;
      const text = "# Zürich 🦊\r\n\n\x00 no newline at the end";
      expect(await place.replace(text, missing)).toBe(true);
      const { text: read, stamp } = (await place.read(missing))!;
      expect(read).toBe(text);
      expect(await place.read(stamp)).toBeUndefined();
      await put("another\n");
      expect((await place.read(stamp))!.text).toBe("another\n");
    });

    test("gives back an empty text as one that is there", async () => {
      await put("something\n");
      await put("");
      const { text, stamp } = (await place.read())!;
      expect(text).toBe("");
      expect(await place.read(stamp)).toBeUndefined();
    });

    test("gives back 10 MB as they were", async () => {
      const text = `${"x".repeat(99)}\n`.repeat(100_000);
      await put(text);
      expect((await (await opened.reopen()).at("devices").read())!.text === text).toBe(true);
    });

    test("doesn't put a text in the place of one that its writer hasn't seen", async () => {
      const missing = (await place.read())!.stamp;
      await put("one\n");
      expect(await place.replace("two\n", missing)).toBe(false);
      const { stamp } = (await place.read())!;
      await put("one and more\n");
      expect(await place.replace("two\n", stamp)).toBe(false);
      expect((await place.read())!.text).toBe("one and more\n");
    });

    test("lets one of ten writers win that saw the same text", async () => {
      for (const before of ["", "something\n"]) {
        if (before) await put(before);
        const { stamp } = (await place.read())!;
        const writers = Array.from({ length: 10 }, async (_, i) => {
          const own = (await opened.reopen()).at("devices");
          return await own.replace(`writer ${i}\n`, stamp) ? [`writer ${i}\n`] : [];
        });
        const winners = (await Promise.all(writers)).flat();
        expect(winners.length).toBe(1);
        expect((await place.read())!.text).toBe(winners[0]!);
      }
    });

    test("tells the names below a folder", async () => {
      const { places } = opened;
      expect(await places.namesBelow("knocked", 10)).toEqual([]);
      for (const name of ["r2", "r1", "r3"]) await put("x\n", places.at(`knocked/${name}`));
      await put("x\n", places.at("knocked-not/r4"));
      expect(await places.namesBelow("knocked", 10)).toEqual(["r1", "r2", "r3"]);
      expect(await places.namesBelow("knocked", 2)).toEqual(["r1", "r2"]);
    });

    test("rejects while it can't be reached", async () => {
      await put("one\n");
      const restore = opened.breakDown();
      expect(await place.read().catch((error) => error)).toBeInstanceOf(Error);
      restore();
      expect((await place.read())!.text).toBe("one\n");
    });
  });

  describe(`an allow-list in ${kind}`, () => {
    test("loses no edit of operators who edit at once", async () => {
      const operators = ["A", "B", "C", "D", "E", "F", "G", "H"];
      await addDevice(place, device(thumbprint("z"), "leaves"));
      await Promise.all(operators.map(async (letter) => {
        const own = (await opened.reopen()).at("devices");
        await addDevice(own, device(thumbprint(letter), `device-${letter}`));
        if (letter === "D") await removeDevice(own, "leaves");
      }));
      const list = await AllowList.open(place);
      expect([...list.devices()].map(({ name }) => name).sort())
        .toEqual(operators.map((letter) => `device-${letter}`));
    });

    test("is taken up by another process when it changes, and only then", async () => {
      const list = await AllowList.open((await opened.reopen()).at("devices"));
      expect([list.size, list.problem, await list.reload()]).toEqual([0, undefined, false]);
      await addDevice(place, device(A, "one"));
      await addDevice(place, device(B, "two"));
      expect([await list.reload(), list.get(A)?.name, list.get(B)?.name])
        .toEqual([true, "one", "two"]);
      expect(await list.reload()).toBe(false);
      await removeDevice(place, "one");
      expect([await list.reload(), list.get(A), list.size]).toEqual([true, undefined, 1]);
    });

    test("that was cut off keeps the old devices and says so, until it is whole", async () => {
      await put(`${A} one\n${B} two\n`);
      const list = await AllowList.open(place);
      await put(`${A} one\n${C} thr`);
      expect(await list.reload()).toBe(false);
      expect(list.problem).toContain("must end in a newline");
      expect([await list.reload(), list.get(B)?.name]).toEqual([false, "two"]);
      expect(list.problem).toContain("must end in a newline");
      await put(`${A} one\n${C} three\n`);
      expect(await list.reload()).toBe(true);
      expect([list.problem, list.get(B), list.get(C)?.name])
        .toEqual([undefined, undefined, "three"]);
    });

    test("that is cut off at start gives its whole lines, not a device of half a name", async () => {
      await put(`${A} one\n${B} kiosk-1`);
      const list = await AllowList.open(place);
      expect([list.size, list.get(A)?.name]).toEqual([1, "one"]);
      expect(list.problem).toContain("must end in a newline");
    });

    test("that is empty for a moment cuts nobody off, at the second look everybody", async () => {
      await put(`${A} one\n`);
      const list = await AllowList.open(place);
      await put("");
      expect([await list.reload(), list.size]).toEqual([false, 1]);
      expect(list.problem).toContain("two looks");
      await put(`${A} one\n${B} two\n`);
      expect([await list.reload(), list.size, list.problem]).toEqual([true, 2, undefined]);
      await put("");
      expect([await list.reload(), list.size]).toEqual([false, 2]);
      expect([await list.reload(), list.size, list.problem]).toEqual([true, 0, undefined]);
      expect(await list.reload()).toBe(false);
    });

    test("that can't be reached keeps the old devices and says so, until it can", async () => {
      await put(`${A} one\n`);
      const list = await AllowList.open(place);
      const restore = opened.breakDown();
      expect([await list.reload(), list.size]).toEqual([false, 1]);
      expect(list.problem).toContain("must be readable");
      restore();
      await list.reload();
      expect([list.problem, list.size]).toEqual([undefined, 1]);
    });

    test("that can't be reached at start is empty, and taken when it can", async () => {
      await put(`${A} one\n`);
      const restore = opened.breakDown();
      const list = await AllowList.open(place);
      expect([list.size, list.problem !== undefined]).toEqual([0, true]);
      restore();
      expect([await list.reload(), list.size, list.problem]).toEqual([true, 1, undefined]);
    });

    test("with a bad line is taken and tells of it, at each look", async () => {
      await put(`${A} one\nrubbish\n`);
      const list = await AllowList.open(place);
      expect(list.size).toBe(1);
      expect(list.problem).toContain("line 2");
      expect([await list.reload(), list.problem!.includes("line 2")]).toEqual([false, true]);
    });
  });
}
