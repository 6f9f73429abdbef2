import { describe, expect, test } from "bun:test";
import { DatabaseSync } from "node:sqlite";
import { type Kept, SqlFactStore } from "./facts.ts";
import type { Row, Value } from "./state_file.ts";

function open(): SqlFactStore {
  const db = new DatabaseSync(":memory:");
  db.exec(
    "CREATE TABLE facts(kind TEXT, key TEXT, value TEXT, saved_us INTEGER, PRIMARY KEY(kind, key))",
  );
  return new SqlFactStore({
    run: (sql: string, ...values: Value[]) => void db.prepare(sql).run(...values),
    all: (sql: string, ...values: Value[]) => db.prepare(sql).all(...values) as Row[],
  });
}

const kept = (kind: string, ...changed: Array<[string, string | undefined]>): Kept => ({
  kind,
  changed: () => changed,
  saved() {},
});

describe("facts", () => {
  test("are found by kind and key, in the order of keys, and replaced", () => {
    const facts = open();
    facts.save(kept("a", ["2", "two"], ["1", "one"]), 10);
    facts.save(kept("b", ["1", "other"]), 10);
    facts.save(kept("a", ["1", "uno"]), 20);
    expect(facts.all("a")).toEqual([["1", "uno"], ["2", "two"]]);
    expect([facts.load("a", "2"), facts.load("b", "2")]).toEqual(["two", undefined]);
  });

  test("are forgotten one by one, or by age", () => {
    const facts = open();
    facts.save(kept("a", ["1", "x"], ["2", "y"], ["3", "z"]), 10);
    facts.save(kept("a", ["1", undefined], ["2", "y"]), 20);
    expect(facts.all("a")).toEqual([["2", "y"], ["3", "z"]]);
    facts.forgetBefore("b", 99);
    facts.forgetBefore("a", 20);
    expect(facts.all("a")).toEqual([["2", "y"]]);
  });
});
