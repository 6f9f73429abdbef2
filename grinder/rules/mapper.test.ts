import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { extract, mapper, takeFailures } from "../rule.ts";

const sum = mapper("sum", ["add: ", "plus: "], (text) => {
  const numbers = text.split(": ")[1]!.split(" ").map(Number);
  if (numbers.includes(0)) throw new RangeError(`a zero: ${text}`);
  return numbers.length < 2 ? null : {
    labels: { first: String(numbers[0]) },
    value: numbers.reduce((a, b) => a + b),
  };
}, { labels: ["first"], value: "sum", yes: ["add: 1 2"] });

/** What a mapper says that returns this, whatever its type promises. */
function saying(returned: unknown) {
  const rule = mapper("probe", ["probe"], () => returned as null, { labels: ["a"], yes: [] });
  return { said: extract(rule, "a probe"), failures: takeFailures([rule]) };
}

describe("a mapper", () => {
  test("is called where one of its literals stands in the text, and nowhere else", () => {
    const seen: string[] = [];
    const spy = mapper("spy", ["alpha", "beta "], (text) => {
      seen.push(text);
      return {};
    }, { yes: [] });
    expect(extract(spy, "an alpha")).toEqual({ labels: {} });
    expect(extract(spy, "a beta")).toBeNull();
    expect(extract(spy, "a beta too")).toEqual({ labels: {} });
    expect(seen).toEqual(["an alpha", "a beta too"]);
  });

  test("says labels and value, or nothing", () => {
    expect(extract(sum, "add: 1 2")).toEqual({ labels: { first: "1" }, value: 3 });
    expect(extract(sum, "plus: 1")).toBeNull();
  });

  test("that throws doesn't match; how often is told once, with what it threw first", () => {
    expect(extract(sum, "add: 0 1")).toBeNull();
    expect(extract(sum, "add: 0 2")).toBeNull();
    expect(takeFailures([sum])).toEqual([{
      rule: "sum",
      count: 2,
      first: "RangeError: a zero: add: 0 1",
    }]);
    expect(takeFailures([sum])).toEqual([]);
  });

  test("may leave out labels; what it says beyond its promise is dropped, cut or made text", () => {
    expect(saying({}).said).toEqual({ labels: { a: "" } });
    expect(saying({ labels: { a: 5, b: "x" }, value: 2 }).said).toEqual({
      labels: { a: "5" },
      value: 2,
    });
    expect(saying({ labels: { a: "x".repeat(1000) } }).said!.labels.a).toHaveLength(
      limits.labelCharsMax,
    );
    for (const value of [NaN, Infinity, "3", null]) {
      expect(saying({ value }).said).toEqual({ labels: { a: "" } });
    }
  });

  test("that returns no object, or a promise, counts as failed", () => {
    for (const returned of [undefined, "text", 5, true, Promise.resolve({}), { labels: "a" }]) {
      const { said, failures } = saying(returned);
      expect([returned, said, failures.length]).toEqual([returned, null, 1]);
      expect(failures[0]!.first).toContain("it must return {labels, value} or null");
    }
  });

  test("keeps the literal types of name, labels and value", () => {
    const name: "sum" = sum.name;
    const labels: readonly "first"[] = sum.labels;
    const value: "sum" | undefined = sum.value;
    expect([name, labels, value]).toEqual(["sum", ["first"], "sum"]);
    // @ts-expect-error: the function must return the labels that are declared
    mapper("wrong", ["wrong"], () => ({ labels: { b: "x" } }), { labels: ["a"], yes: [] });
  });
});
