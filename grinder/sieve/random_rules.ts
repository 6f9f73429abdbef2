/**
 * For tests: random rules, each with texts that it mostly matches, and random frames made of such texts:
 * whole or mutated, escaped or not, in records and in all the places where rules must not look.
 */
import { Buffer } from "node:buffer";
import { formatBlockHeader } from "../../shared/block.ts";
import { escapeText } from "../../shared/record.ts";
import { header } from "../fixtures.ts";
import { type RegexRule, rule } from "../rule.ts";

/** A part of a regex, and a maker of texts that it matches, most of the time. */
interface Part {
  source: string;
  text: () => string;
}

/** They overlap, hold each other, and hold what stored text shows otherwise. */
export const words = [
  ...["error", "rror:", "ror: x", "terror", "link is up", "Link is ", "is up", "abcab", "abcabc"],
  ...[
    "bcabca",
    "aaaaa",
    "aaaaaa",
    "#abcde",
    "##aaaaa",
    "6,1,2,-;",
    "USB disconnect",
    "caller=abcde",
  ],
  ...[
    "x",
    "ab",
    " ",
    ": ",
    "é",
    "naïve",
    "\\",
    "\\x41",
    "a\\b",
    "\t",
    "\x01",
    "K",
    "ſ",
    "[  1.000001] ",
  ],
];

export class RandomLog {
  #groups = 0;

  constructor(readonly random: () => number) {}

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  one<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A rule and the maker of its texts. */
  rule(name: string): { rule: RegexRule; text: () => string } {
    for (;;) {
      this.#groups = 0;
      const flags = this.one(["", "", "", "", "i", "u", "s", "m", "iu", "v", "g"]);
      const part = this.#alternatives(2);
      const cased = (text: string) =>
        flags.includes("i") && this.below(2) === 0 ? text.toUpperCase() : text;
      try {
        const regex = new RegExp(part.source, flags);
        const labels = this.#groups > 0 ? ["n0"] : [];
        return { rule: rule(name, regex, { labels, yes: [] }), text: () => cased(part.text()) };
      } catch {
        // Not every part goes with every flag, nor with every runtime.
      }
    }
  }

  #alternatives(depth: number): Part {
    const parts = Array.from({ length: this.one([1, 1, 2, 3]) }, () => this.#sequence(depth));
    return {
      source: parts.map(({ source }) => source).join("|"),
      text: () => this.one(parts).text(),
    };
  }

  #sequence(depth: number): Part {
    const parts = Array.from({ length: 1 + this.below(4) }, () => this.#part(depth));
    return {
      source: parts.map(({ source }) => source).join(""),
      text: () => parts.map(({ text }) => text()).join(""),
    };
  }

  #part(depth: number): Part {
    const kind = this.below(depth > 0 ? 12 : 7);
    if (kind < 4) return this.#word();
    if (kind === 4) return this.#characters();
    if (kind === 5) return this.#assertion();
    if (kind === 6) return plain(this.one(["\\1", "\\b", "^", "$", ".", "(?:)", "\\x65"]), "");
    if (kind < 10) return this.#group(depth - 1);
    return this.#quantified(depth - 1);
  }

  #word(): Part {
    const word = this.one(words);
    return plain(word.replace(/[\\^$.*+?()[\]{}|/-]/g, (c) => c === "-" ? "-" : `\\${c}`), word);
  }

  #characters(): Part {
    const [source, text] = this.one([
      ...[["[ab]", "b"], ["[a-d]", "c"], ["[eé]", "é"], ["\\d", "7"], ["\\w", "r"], ["[^q]", "a"]],
      ...[["[]", ""], ["[^]", "a"], ["\\p{L}", "e"], ["[sk]", "s"], ["[a-z]", "e"], ["[\\d]", "3"]],
    ]) as [string, string];
    return plain(source, text);
  }

  #assertion(): Part {
    const { source } = this.#word();
    return plain(
      this.one([`(?=${source})`, `(?!${source})`, `(?<=${source})`, `(?<!${source})`]),
      "",
    );
  }

  #group(depth: number): Part {
    // Its name is given in the order of the parentheses.
    const open = this.one(["(?:", "(?:", "(", "(?i:", "(?-i:", `(?<n${this.#groups}>`]);
    if (open.startsWith("(?<")) this.#groups++;
    const inside = this.#alternatives(depth);
    return { ...inside, source: `${open}${inside.source})` };
  }

  #quantified(depth: number): Part {
    // Without an upper limit only where there is one way to match it again: time would be exponential.
    const [inside, signs] = this.below(2) === 0
      ? [this.#word(), ["*", "+", "+?", "{3,}", "{2}"]]
      : [this.#group(depth), ["?", "??", "{0}", "{1}", "{2}", "{1,2}", "{0,2}"]];
    const sign = this.one(signs);
    const times = sign === "{0}" ? 0 : sign === "{2}" ? 2 : sign === "{3,}" ? 3 + this.below(2) : 1;
    const source = inside.source.length > 1 ? `(?:${inside.source})` : inside.source;
    const text = () => {
      let all = "";
      for (let i = 0; i < times; i++) all += inside.text();
      return all;
    };
    return { source: source + sign, text };
  }

  /** A text that some of the rules may match, or nearly. */
  line(texts: readonly (() => string)[]): string {
    let line = "";
    for (let parts = this.below(4); parts > 0; parts--) {
      line += this.below(3) === 0 ? this.one(words) : this.one(texts)();
      if (this.below(3) === 0) line = this.#mutated(line);
    }
    return line.slice(0, 120);
  }

  #mutated(text: string): string {
    const at = this.below(text.length + 1);
    return text.slice(0, at) + this.one(["", "x", "é", " ", text[at] ?? ""]) +
      text.slice(at + this.below(3));
  }

  /** A frame's text as a byte string, of blocks, some of them damaged. */
  frame(texts: readonly (() => string)[]): string {
    let frame = "";
    for (let blocks = this.below(4); blocks >= 0; blocks--) frame += this.#block(texts);
    if (this.below(4) > 0) return frame;
    const at = this.below(frame.length + 1);
    if (this.below(2) === 0) return frame.slice(0, at);
    return frame.slice(0, at) + this.one(["\n", "#", "\n#", "\n#x\n", ""]) + frame.slice(at + 1);
  }

  #block(texts: readonly (() => string)[]): string {
    const source = this.one(["kmsg", "kmsg", "raw"]);
    const device = this.one(["d1", "d1", "error", "aaaaaa", "."]);
    let block = formatBlockHeader(header({ source, device }));
    for (let lines = this.below(6); lines > 0; lines--) {
      const text = this.line(texts);
      block += source === "raw" ? this.#rawLine(text) : this.#record(text);
    }
    return block;
  }

  #record(text: string): string {
    const flag = this.one(["-", "-", "-", "-", "c", "p", "g", "s", "gg", ",", "12345"]);
    const fields = this.one(["", "", "", ",caller=abcde", ",x=terror:;"]);
    const more = this.below(4) === 0 ? ` ${stored(this.one(words))}\n` : "";
    const escaped = this.below(8) === 0 ? stored(text) : escapeText(text);
    const bad = this.below(10) === 0 ? this.one([" ", "x", "", "1,2,"]) : undefined;
    return `${bad ?? `6,${this.below(3) === 0 ? "9".repeat(16) : 1},2,${flag}${fields};`}` +
      `${escaped}\n${more}`;
  }

  #rawLine(text: string): string {
    const prefix = this.one([
      "",
      "",
      "",
      "[    1.234567] ",
      "<6>[    1.234567] ",
      "6,1,2,-;",
      "3,4,5,g;",
    ]);
    const line = stored(prefix + text);
    return `${line.startsWith("#") ? `\\x23${line.slice(1)}` : line}\n`;
  }
}

function plain(source: string, text: string): Part {
  return { source, text: () => text };
}

/** As bytes, unescaped; but no line of its own making. */
function stored(text: string): string {
  return Buffer.from(text.replaceAll("\n", " "), "utf8").toString("latin1");
}
