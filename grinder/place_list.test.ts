import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { PlaceList } from "./place_list.ts";

const frame = (offset: number, epoch = "e1") => ({
  receiver: "r1",
  epoch,
  segment: 2 ** 31,
  offset,
  length: 7,
});
const offsets = (list: PlaceList) => list.within(0, Infinity).map(({ offset }) => offset);

describe("places of a boot's newest records", () => {
  test("are given with their frames, oldest first, of the time that is asked for", () => {
    const list = new PlaceList();
    list.add(frame(0), 10e6, 19e6);
    list.add(frame(7, "e2"), 20e6, 29e6);
    list.add(frame(14), 30e6, 39e6);
    expect(list.within(19e6, 20e6)).toEqual([
      { ...frame(0), firstUsec: 10e6, lastUsec: 19e6 },
      { ...frame(7, "e2"), firstUsec: 20e6, lastUsec: 29e6 },
    ]);
    expect([list.within(41e6, 50e6), list.within(0, 8e6)]).toEqual([[], []]);
  });

  test("are given also where a record may be a little out of order between the ends", () => {
    const list = new PlaceList();
    list.add(frame(0), 10e6, 20e6);
    const { kernelDisorderMs: ms } = limits;
    const found = (least: number, most: number) => list.within(least, most).length;
    expect([found(20e6 + 1000 * ms, Infinity), found(0, 10e6 - 1000 * ms)]).toEqual([1, 1]);
    expect([found(20e6 + 1000 * ms + 1, Infinity), found(0, 10e6 - 1000 * ms - 1)]).toEqual([0, 0]);
  });

  test("are the newest ones once there are too many", () => {
    const list = new PlaceList();
    const { tailFramesMax: most } = limits;
    for (let i = 0; i < most; i++) list.add(frame(i), i, i);
    expect([list.size, offsets(list)[0], offsets(list).at(-1)]).toEqual([most, 0, most - 1]);
    for (let i = most; i < 2 * most + 3; i++) list.add(frame(i), i, i);
    expect([list.size, offsets(list)[0], offsets(list).at(-1)]).toEqual(
      [most, most + 3, 2 * most + 2],
    );
  });

  test("are the same as a text and back, and the text is golden", () => {
    const list = new PlaceList();
    expect([list.encode(), PlaceList.decode("").size]).toEqual(["", 0]);
    list.add(frame(0), 10, 19);
    list.add(frame(7), 20, 29);
    list.add(frame(2 ** 40, "e2"), 30, 2 ** 53 - 1);
    const text = "r1/e1 2147483648 0 7 10 19;2147483648 7 7 20 29;" +
      "r1/e2 2147483648 1099511627776 7 30 9007199254740991";
    expect(list.encode()).toBe(text);
    const again = PlaceList.decode(text);
    expect(again.within(0, Infinity)).toEqual(list.within(0, Infinity));
    for (let i = 0; i < 2 * limits.tailFramesMax; i++) again.add(frame(i), i, i);
    expect(PlaceList.decode(again.encode()).encode()).toBe(again.encode());
  });
});
