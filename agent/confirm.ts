/**
 * The program's side of rsyslog's omprog with `confirmMessages="on"`: messages come in as lines, and
 * each is answered when it is safe.
 *
 * | line | answer |
 * |------|--------|
 * | (at the start) | `OK` |
 * | a message | `OK`, or what is wrong: then rsyslog keeps the message and comes again |
 *
 * `useTransactions="on"` would save syncs, but loses messages: what was answered `DEFER_COMMIT` isn't
 * sent again when the program dies before the commit (rsyslog issue 2420; seen with 8.2302).
 *
 * Source: rsyslog's doc/source/configuration/modules/omprog.rst.
 */
import { Buffer } from "node:buffer";
import { limits } from "../shared/limits.ts";
import { rawLines } from "./raw_lines.ts";

export interface ConfirmOptions {
  input: AsyncIterable<Uint8Array>;
  answer: (line: string) => void;
  /** Keeps a message; resolves when it is safe, rejects if it isn't. */
  keep: (message: string) => Promise<void>;
}

/** Resolves when the input has ended. A last message without its end isn't one. */
export async function confirmMessages({ input, answer, keep }: ConfirmOptions): Promise<void> {
  let held: Buffer = Buffer.alloc(0);
  /** Of a long message, of which a part couldn't be kept. */
  let trouble: string | undefined;
  answer("OK");
  for await (const chunk of input) {
    held = Buffer.concat([held, chunk]);
    let taken = 0;
    for (const { text = "", end } of rawLines(held, limits.rawLineBytesMax)) {
      taken = end;
      trouble ??= await tryKeep(text);
      // A long message comes in pieces, of which only the last has an answer.
      if (held[end - 1] !== 0x0a) continue;
      answer(trouble ?? "OK");
      trouble = undefined;
    }
    held = held.subarray(taken);
  }

  async function tryKeep(text: string): Promise<string | undefined> {
    try {
      await keep(text);
    } catch (error) {
      return (error as Error).message.replaceAll("\n", " ");
    }
  }
}
