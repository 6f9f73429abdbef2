import { describe, expect, test } from "bun:test";
import { helpText, type OptionSpec, parseOptions, UsageError } from "./options.ts";

const table = {
  data: { type: "text", unit: "folder", default: "./data", help: "where it is stored" },
  allow: { type: "text", unit: "file", help: "who is let in" },
  keep: { type: "number", unit: "days", default: 60, help: "how long" },
  limit: { type: "number", unit: "lines", help: "how many" },
  verbose: { type: "flag", unit: "", help: "say more" },
  label: { type: "list", unit: "k=v", help: "a label" },
} satisfies Record<string, OptionSpec>;

describe("options", () => {
  test("that aren't given have their defaults", () => {
    const { values, positionals } = parseOptions(table, []);
    expect(values).toEqual({
      data: "./data",
      allow: undefined,
      keep: 60,
      limit: undefined,
      verbose: false,
      label: [],
    });
    expect(positionals).toEqual([]);
  });

  test("are read in any order among the words, as --name VALUE or --name=VALUE", () => {
    const argv = ["run", "--keep", "7", "--label=a=1", "now", "--verbose", "--label", "b=2"];
    const { values, positionals } = parseOptions(table, [...argv, "--data="]);
    expect(values).toMatchObject({ keep: 7, verbose: true, label: ["a=1", "b=2"], data: "" });
    expect(positionals).toEqual(["run", "now"]);
  });

  test("have types that follow from the table", () => {
    const { values } = parseOptions(table, []);
    const typed: {
      data: string;
      allow: string | undefined;
      keep: number;
      limit: number | undefined;
      verbose: boolean;
      label: string[];
    } = values;
    expect(typed).toBe(values);
  });

  test("of a number take numbers only, and none below zero", () => {
    const read = (given: string) => parseOptions(table, [`--keep=${given}`]).values.keep;
    expect([read("0"), read("1.5"), read("1e3")]).toEqual([0, 1.5, 1000]);
    for (const given of ["", " ", "-1", "seven", "7d", "Infinity", "NaN"]) {
      expect(() => read(given)).toThrow(UsageError);
      expect(() => read(given)).toThrow(
        `Cannot read --keep because it must be a number of days: it is ${given}`,
      );
    }
  });

  test("leave thumbprints alone that begin like an option", () => {
    const thumbprint = `-r${"x".repeat(41)}`;
    for (
      const argv of [["allow", thumbprint, "--data", "a"], [
        "allow",
        "--data",
        "a",
        "--",
        thumbprint,
      ]]
    ) {
      const { values, positionals } = parseOptions(table, argv);
      expect([values.data, ...positionals]).toEqual(["a", "allow", thumbprint]);
    }
    expect(() => parseOptions(table, [`${thumbprint}x`])).toThrow(UsageError);
  });

  test("that aren't in the table, or lack their value, are refused", () => {
    for (const argv of [["--no-such"], ["--data"], ["--verbose=1"], ["-x"], ["--keep", "--data"]]) {
      expect(() => parseOptions(table, argv)).toThrow(UsageError);
    }
  });
});

test("the help names each option with its unit, and its default where it has one", () => {
  expect(helpText("\nUsage: tool [OPTIONS]", table)).toBe(
    `Usage: tool [OPTIONS]

Options:
  --data FOLDER  where it is stored (default: ./data)
  --allow FILE   who is let in
  --keep DAYS    how long (default: 60)
  --limit LINES  how many
  --verbose      say more
  --label K=V    a label; may be repeated
`,
  );
});
