import { describe, expect, test } from "bun:test";
import { seededRandom } from "../tests/fleet/random.ts";
import { DeviceTable } from "./device_table.ts";
import { MemoryFacts } from "./memory_facts.ts";

describe("a device table", () => {
  test("has a slot for each device, and finds it again", () => {
    const table = new DeviceTable("t", 3, new MemoryFacts());
    expect(table.find("a")).toBe(-1);
    for (let i = 0; i < 1000; i++) expect(table.add(`d${i}`)).toBe(i);
    expect(table.find("d999")).toBe(999);
    expect(table.numbers.length).toBeGreaterThanOrEqual(3000);
    expect(table.untracked).toBe(0);
  });

  const write = (table: DeviceTable, slot: number, value: number) => {
    table.numbers[slot * 3 + 2] = value;
    table.touch(slot);
  };
  const keys = (table: DeviceTable) => [...table.changed()].map(([key]) => key);

  test("is there again after a kill, and saves only what changed", () => {
    const facts = new MemoryFacts();
    let table = new DeviceTable("t", 3, facts);
    for (let i = 0; i < 150; i++) write(table, table.add(`d${i}`), i + 0.5);
    expect(keys(table)).toEqual(["00000000", "00000001", "00000002"]);
    facts.save(table);
    expect(keys(table)).toEqual([]);
    write(table, 70, Number.MAX_SAFE_INTEGER);
    expect(keys(table)).toEqual(["j00000000"]);
    facts.save(table);
    write(table, 71, 0);
    table = new DeviceTable("t", 3, facts);
    expect(table.names.length).toBe(150);
    const read = [0, 69, 70, 71, 149].map((slot) => table.numbers[slot * 3 + 2]);
    expect(read).toEqual([0.5, 69.5, Number.MAX_SAFE_INTEGER, 71.5, 149.5]);
    expect(table.find("d149")).toBe(149);
    expect(table.add("new")).toBe(150);
    expect(keys(table)).toEqual(["00000001", "00000002", "j00000000"]);
  });

  test("is as it was after any batch, of thousands, and never takes up much more than its pages", () => {
    const facts = new MemoryFacts();
    const random = seededRandom(1);
    const wanted: number[] = [];
    let table = new DeviceTable("t", 3, facts);
    for (let batch = 0; batch < 2000; batch++) {
      if (random() < 0.05) table.add(`d${wanted.push(0) - 1}`);
      for (let i = 0; i < 5 && wanted.length > 0; i++) {
        const slot = Math.floor(random() * wanted.length);
        write(table, slot, wanted[slot] = random());
      }
      facts.save(table);
      if (batch % 50 === 0) table = new DeviceTable("t", 3, facts);
      expect(wanted.map((_, slot) => table.numbers[slot * 3 + 2]!)).toEqual(wanted);
      expect(facts.all("t").length).toBeLessThanOrEqual(wanted.length + 3);
    }
    expect(wanted.length).toBeGreaterThan(64);
  });
});
