import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { type Form, resultText } from "./result_text.ts";
import { Session } from "./session.ts";

async function textOf(sql: string, form: Form): Promise<string> {
  using folder = new TemporaryFolder();
  using session = await Session.open({ scratch: join(folder.path, "x"), memoryBytes: 128e6 });
  let all = "";
  for await (const text of resultText(await session.query(sql), form)) all += text;
  return all;
}

describe("resultText", () => {
  test("is a table: texts to the left, numbers to the right, nothing for NULL", async () => {
    const sql = "select * from (values ('a', 5, null), ('bcd', 1234, 1.5)) t(name, n, x)";
    expect(await textOf(sql, "table")).toBe(
      "name  n     x\n" +
        "----  ----  ---\n" +
        "a        5\n" +
        "bcd   1234  1.5\n",
    );
    expect(await textOf("select 1 as a where false", "table")).toBe("a\n-\n");
  });

  test("shows no control character to a terminal, and keeps all of them in a file", async () => {
    const sql = "select chr(27) || '[31mred' || chr(10) as t";
    expect(await textOf(sql, "table")).toContain("\\x1b[31mred\\x0a\n");
    expect(await textOf(sql, "csv")).toBe('t\r\n"\u001b[31mred\n"\r\n');
    expect(JSON.parse(await textOf(sql, "json"))).toEqual({ t: "\u001b[31mred\n" });
  });

  test("is JSON with numbers as far as they are exact, and maps as objects", async () => {
    const sql =
      "select 9007199254740991 as a, 9007199254740993 as b, map{'x': 1} as m, count(*) as n, " +
      "null as none, true as yes, timestamp '2026-11-22 12:00:00.5' as at";
    expect(JSON.parse(await textOf(sql, "json"))).toEqual({
      ...{ a: 9007199254740991, b: "9007199254740993", m: { x: 1 }, n: 1, none: null, yes: true },
      at: "2026-11-22 12:00:00.5",
    });
  });

  test("has all rows of a result of many, and a name for each column", async () => {
    const all = await textOf("select i as a, i as a from range(10000) t(i)", "csv");
    const rows = all.split("\r\n");
    expect([rows.length, rows[0], rows[10_000]]).toEqual([10_002, "a,a:1", "9999,9999"]);
  });
});
