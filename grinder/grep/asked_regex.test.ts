import { describe, expect, test } from "bun:test";
import { checkRegex } from "./asked_regex.ts";

const check = (source: string, ignoreCase = false) => () => checkRegex({ source, ignoreCase });

describe("a regex on the command line", () => {
  test("is taken if it can run in linear time, whatever it repeats", () => {
    expect(check("(a+)+b")).not.toThrow();
    expect(check("link (up|down) on \\w+", true)).not.toThrow();
  });

  test("is refused where it can take for ever, with the part that can", () => {
    expect(check("(?=x)(a+)+b")).toThrow(/in linear time: the part is \(a\+\)\+/);
    expect(check("(a+)+b", true)).toThrow(/the part is/);
  });

  test("is refused where it is none", () => {
    expect(check("link (up")).toThrow(
      /Cannot look for link \(up because it must be a regular expression/,
    );
  });
});
