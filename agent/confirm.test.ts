import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { confirmMessages } from "./confirm.ts";

/** What is kept and answered for some input, which comes in chunks of so many bytes. */
async function talk(
  text: string,
  { transactions = false, fails = () => false, chunk = 1e9 } = {} as {
    transactions?: boolean;
    fails?: (messages: string[]) => boolean;
    chunk?: number;
  },
) {
  const said: string[] = [];
  const bytes = Buffer.from(text);
  await confirmMessages({
    input: (async function* () {
      for (let at = 0; at < bytes.length; at += chunk) {
        await Promise.resolve();
        yield bytes.subarray(at, at + chunk);
      }
    })(),
    answer: (line) => void said.push(`> ${line}`),
    keep: async (messages) => {
      await Promise.resolve();
      if (fails(messages)) throw new Error("no room");
      said.push(...messages);
    },
    transactions,
  });
  return said;
}

describe("a confirmed message", () => {
  test("is kept before it is answered", async () => {
    for (const chunk of [1e9, 3, 1]) {
      expect(await talk("one\ntwo\nnot yet", { chunk })).toEqual([
        "> OK",
        "one",
        "> OK",
        "two",
        "> OK",
      ]);
    }
  });

  test("that can't be kept is answered with why, and the next one is another try", async () => {
    let fails = 2;
    expect(await talk("one\none\none\n", { fails: () => fails-- > 0 }))
      .toEqual(["> OK", "> no room", "> no room", "one", "> OK"]);
  });

  test("has one answer, however long it is", async () => {
    const said = await talk(`${"x".repeat(3 * limits.rawLineBytesMax)}\nend\n`);
    expect(said.filter((line) => line.startsWith("> "))).toEqual(["> OK", "> OK", "> OK"]);
    expect(said.slice(1, 4).join("").length).toBe(3 * limits.rawLineBytesMax);
  });
});

describe("a confirmed transaction", () => {
  const batch = "BEGIN TRANSACTION\none\ntwo\nCOMMIT TRANSACTION\n";

  test("is kept as a whole before its end is answered", async () => {
    expect(await talk(batch, { transactions: true }))
      .toEqual(["> OK", "> OK", "> DEFER_COMMIT", "> DEFER_COMMIT", "one", "two", "> OK"]);
  });

  test("that can't be kept is answered with why at its end, and comes again", async () => {
    let fails = 1;
    expect(await talk(batch + batch, { transactions: true, fails: () => fails-- > 0 })).toEqual([
      ...["> OK", "> OK", "> DEFER_COMMIT", "> DEFER_COMMIT", "> no room"],
      ...["> OK", "> DEFER_COMMIT", "> DEFER_COMMIT", "one", "two", "> OK"],
    ]);
  });

  test("has its marks as messages where nobody asked for transactions", async () => {
    expect((await talk(batch)).filter((line) => !line.startsWith(">")))
      .toEqual(batch.trim().split("\n"));
  });

  test("that is large is kept part by part, so that it needs no memory", async () => {
    const kept: number[] = [];
    const messages = `${"x".repeat(8_000)}\n`.repeat(100);
    const said = await talk(`BEGIN TRANSACTION\n${messages}COMMIT TRANSACTION\n`, {
      transactions: true,
      fails: (messages) => kept.push(messages.join("").length) < 0,
    });
    expect(Math.max(...kept)).toBeLessThan(2 * limits.flushBytes);
    expect([kept.reduce((a, b) => a + b), said.at(-1)]).toEqual([800_000, "> OK"]);
  });
});
