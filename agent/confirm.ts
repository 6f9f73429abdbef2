/**
 * The program's side of rsyslog's omprog with `confirmMessages="on"`: messages come in as lines, and
 * each is answered when it is safe.
 *
 * | line | answer |
 * |------|--------|
 * | (at the start) | `OK` |
 * | a message | `OK`, or what is wrong: then rsyslog keeps the message and comes again |
 * | `BEGIN TRANSACTION`, where asked for | `OK` |
 * | a message in a transaction | `DEFER_COMMIT` |
 * | `COMMIT TRANSACTION` | `OK`, or what is wrong: then all of it comes again |
 *
 * Source: rsyslog's doc/source/configuration/modules/omprog.rst.
 */
import { Buffer } from "node:buffer";
import { limits } from "../shared/limits.ts";
import { rawLines } from "./raw_lines.ts";

export interface ConfirmOptions {
  input: AsyncIterable<Uint8Array>;
  answer: (line: string) => void;
  /** Keeps messages, all or none; resolves when they are safe, rejects if they aren't. */
  keep: (messages: string[]) => Promise<void>;
  /** `useTransactions="on"`: one sync for a whole batch. */
  transactions: boolean;
}

/** Resolves when the input has ended. A last message without its end isn't one. */
export async function confirmMessages(options: ConfirmOptions): Promise<void> {
  const { input, answer } = options;
  const conversation = new Conversation(options);
  let held: Buffer = Buffer.alloc(0);
  answer("OK");
  for await (const chunk of input) {
    held = Buffer.concat([held, chunk]);
    let taken = 0;
    for (const { text = "", end } of rawLines(held, limits.rawLineBytesMax)) {
      taken = end;
      // A long line comes in pieces, of which only the last has an answer.
      await conversation.take(text, held[end - 1] === 0x0a);
    }
    held = held.subarray(taken);
  }
}

const beginMark = "BEGIN TRANSACTION";
const commitMark = "COMMIT TRANSACTION";

class Conversation {
  #messages: string[] = [];
  #bytes = 0;
  #inTransaction = false;
  #trouble: string | undefined;

  constructor(private readonly options: ConfirmOptions) {}

  async take(text: string, isWhole: boolean): Promise<void> {
    const { transactions, answer } = this.options;
    if (transactions && isWhole && text === (this.#inTransaction ? commitMark : beginMark)) {
      this.#inTransaction = !this.#inTransaction;
      return this.#inTransaction ? answer("OK") : await this.#commit();
    }
    this.#messages.push(text);
    this.#bytes += text.length;
    // A transaction of whatever size takes no more memory than this.
    if (this.#bytes >= limits.flushBytes) await this.#keep();
    if (!isWhole) return;
    if (this.#inTransaction) answer("DEFER_COMMIT");
    else await this.#commit();
  }

  async #commit(): Promise<void> {
    await this.#keep();
    this.options.answer(this.#trouble ?? "OK");
    this.#trouble = undefined;
  }

  async #keep(): Promise<void> {
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    try {
      if (messages.length > 0 && !this.#trouble) await this.options.keep(messages);
    } catch (error) {
      this.#trouble = (error as Error).message.replaceAll("\n", " ");
    }
  }
}
