import { expect, test } from "bun:test";
import { newc } from "./newc.ts";

test("an archive has folders before what is in them, and everything begins at a multiple of 4", () => {
  const files = new Map([["a/b", new TextEncoder().encode("hello")]]);
  const number = (...values: number[]) =>
    values.map((value) => value.toString(16).padStart(8, "0")).join("");
  // A header and its name are padded together: 110 bytes and the name's.
  expect(newc(files, ["dev"]).toString("latin1")).toBe(
    `070701${number(1, 0o040755, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0)}a\0` +
      `070701${number(2, 0o040755, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0)}dev\0\0\0` +
      `070701${number(3, 0o100755, 0, 0, 1, 0, 5, 0, 0, 0, 0, 4, 0)}a/b\0\0\0` +
      "hello\0\0\0" +
      `070701${number(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0)}TRAILER!!!\0\0\0\0`,
  );
});
