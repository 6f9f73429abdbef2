/**
 * A regex to the same without names for its groups, and the number of each name: where groups have names
 * the runtime makes an object of them for each match, which takes as long as the matching itself.
 */
import { RegExpParser, visitRegExpAST } from "@eslint-community/regexpp";

export interface NumberedRegex {
  regex: RegExp;
  /** Name -> number of the group. */
  numbers: ReadonlyMap<string, number>;
}

const known = new WeakMap<RegExp, NumberedRegex | null>();

/** The same one for the same regex; null where names can't be told by numbers: then it has to do itself. */
export function numberedRegex(regex: RegExp): NumberedRegex | null {
  let numbered = known.get(regex);
  if (numbered === undefined) {
    numbered = makeNumbered(regex);
    known.set(regex, numbered);
  }
  return numbered;
}

function makeNumbered({ source, flags }: RegExp): NumberedRegex | null {
  // A regex that remembers where it stopped is one of a kind.
  if (/[gy]/.test(flags)) return null;
  const numbers = new Map<string, number>();
  /** In the place of what is to be taken out: a reference to the group of that name, if it is one. */
  const edits: { start: number; end: number; reference?: string }[] = [];
  let [groups, isClear] = [0, true];
  try {
    visitRegExpAST(parse(source, flags), {
      onCapturingGroupEnter({ name, start }) {
        groups++;
        if (name === null) return;
        isClear &&= !numbers.has(name);
        numbers.set(name, groups);
        edits.push({ start: start + 1, end: source.indexOf(">", start) + 1 });
      },
      onBackreferenceEnter({ ref, start, end }) {
        if (typeof ref === "string") edits.push({ start, end, reference: ref });
      },
    });
    if (!isClear) return null;
    // From the end on, so that places stay what they are.
    const unnamed = edits.reduceRight((text, { start, end, reference }) => {
      // A digit behind it mustn't become a part of the number.
      const put = reference === undefined ? "" : `(?:\\${numbers.get(reference)!})`;
      return text.slice(0, start) + put + text.slice(end);
    }, source);
    return { regex: new RegExp(unnamed, flags), numbers };
  } catch {
    // The runtime's regexes may be newer than the parser.
    return null;
  }
}

function parse(source: string, flags: string) {
  const unicode = flags.includes("u");
  const unicodeSets = flags.includes("v");
  return new RegExpParser().parsePattern(source, 0, source.length, { unicode, unicodeSets });
}
