/**
 * A regex to plain texts of which every match holds at least one: what can be looked for before the
 * regex is tried. Where that can't be said simply, there are none.
 */
import { type AST, RegExpParser } from "@eslint-community/regexpp";

/** Shorter ones are in every second line. */
const charsMin = 4;

/** One text for each alternative of the regex; undefined if one of them has no text long enough. */
export function requiredLiterals(regex: RegExp): string[] | undefined {
  // Letters of either case; and classes of strings, which need another parser.
  if (regex.ignoreCase || regex.unicodeSets) return undefined;
  const { alternatives } = new RegExpParser().parsePattern(regex.source, 0, regex.source.length, {
    unicode: regex.unicode,
  });
  const literals = alternatives.map(longestRun);
  return literals.every((literal) => literal.length >= charsMin) ? literals : undefined;
}

/** The longest run of characters that stand next to each other in every match. */
function longestRun({ elements }: AST.Alternative): string {
  let longest = "";
  let run = "";
  for (const element of elements) {
    if (element.type === "Character") run += String.fromCodePoint(element.value);
    else if (element.type !== "Assertion") run = "";
    if (run.length > longest.length) longest = run;
  }
  return longest;
}
