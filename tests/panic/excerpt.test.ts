import { expect, test } from "bun:test";
import { excerpt } from "./excerpt.ts";

const day = "---- 2026-11-23 (UTC) ----";
const boots = ["==== tv boot b1 ====", "==== tv boot b2: after a panic ===="] as const;
const lines = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => `02:52:00.00000${from + i}    line ${from + i}`);

test("an excerpt shows how a boot began and what came before its panic, and only how one ends that lives", () => {
  const panicked = [
    ...lines(20),
    "02:52:01.000000 > kernel_panic  Kernel panic - not syncing: sysrq triggered crash",
    ...lines(6, 21),
  ];
  const told = [day, boots[0], ...panicked, boots[1], ...lines(9)].join("\n");
  expect(excerpt(`${told}\n`).split("\n")).toEqual([
    day,
    boots[0],
    ...panicked.slice(0, 2),
    "                  ... 7 lines",
    ...panicked.slice(9, 23),
    "                  ... 4 lines",
    boots[1],
    ...lines(2),
    "                  ... 4 lines",
    ...lines(3, 6),
  ]);
});

test("an excerpt of few lines is all of them, and long lines are cut", () => {
  const few = [boots[0], ...lines(4), "x".repeat(120)];
  expect(excerpt(few.join("\n")).split("\n")).toEqual([
    ...few.slice(0, -1),
    `${"x".repeat(97)}...`,
  ]);
});
