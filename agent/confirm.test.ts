import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { confirmMessages } from "./confirm.ts";

/** What is kept and answered for some input, which comes in chunks of so many bytes. */
async function talk(text: string, fails: () => boolean = () => false, chunk = 1e9) {
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
    keep: async (message) => {
      await Promise.resolve();
      if (fails()) throw new Error("no room");
      said.push(message);
    },
  });
  return said;
}

describe("a confirmed message", () => {
  test("is kept before it is answered", async () => {
    for (const chunk of [1e9, 3, 1]) {
      expect(await talk("one\ntwo\nnot yet", undefined, chunk)).toEqual([
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
    expect(await talk("one\none\none\n", () => fails-- > 0))
      .toEqual(["> OK", "> no room", "> no room", "one", "> OK"]);
  });

  test("has one answer, however long it is", async () => {
    const said = await talk(`${"x".repeat(3 * limits.rawLineBytesMax)}\nend\n`);
    expect(said.filter((line) => line.startsWith("> "))).toEqual(["> OK", "> OK", "> OK"]);
    expect(said.slice(1, 4).join("").length).toBe(3 * limits.rawLineBytesMax);
  });

  test("of which a part can't be kept is answered with why at its end", async () => {
    let pieces = 0;
    const said = await talk(
      `${"x".repeat(3 * limits.rawLineBytesMax)}\nend\n`,
      () => ++pieces === 2,
    );
    expect(said.filter((line) => line.startsWith("> "))).toEqual(["> OK", "> no room", "> OK"]);
  });
});
