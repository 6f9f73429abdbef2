/**
 * A rule to its required sets: sets of plain texts such that every text that the rule matches holds
 * one text of each set, as it stands in storage. So one set of them, any, says where the rule can match.
 *
 * What stands the same in storage and in the text that a rule sees is printable ASCII without the
 * backslash (see `unescapeText`), so literals are made of that alone.
 *
 * The regex is read as a language. Of each part is known: the texts that it can be, if they are few
 * (`exact`); else texts with which all that it matches begins and ends (`head`, `tail`), and the
 * sets that are required anyway. Parts that stand side by side are joined: `Link (?:is )?[Uu]p` has
 * `Link is Up`, `Link is up`, `Link Up` and `Link up`.
 */
import { type AST, RegExpParser } from "@eslint-community/regexpp";
import { limits } from "../../shared/limits.ts";
import type { Rule } from "../rule.ts";
import { expectedPerMiB } from "./grams.ts";

type Texts = readonly string[];

interface Language {
  /** Everything that it matches; undefined if that is unknown or too much. */
  exact?: Texts;
  /** All that it matches begins with one of these; [""] if nothing is known. */
  head: Texts;
  /** ... and ends with one of these. */
  tail: Texts;
  /** ... and holds one text of each of these sets. */
  sets: Texts[];
}

/** What holds for a part of a regex. */
interface Flags {
  /** Classes of more characters are not resolved. */
  classMax: number;
  ignoreCase: boolean;
  unicode: boolean;
}

const nothing: Texts = [""];
/** Something of which nothing is known, perhaps empty. */
const anything: Language = { head: nothing, tail: nothing, sets: [] };

/** A rule is planned with and without a sample. */
const known = new WeakMap<Rule, readonly string[][]>();

/** Required sets of a rule, each of which the sieve can look for; none if it must see every record. */
export function requiredSets(rule: Rule): readonly string[][] {
  let sets = known.get(rule);
  if (!sets) {
    sets = distinct(distinct(setsOf(rule)).map(storedParts).filter(isUsable));
    known.set(rule, sets);
  }
  return sets;
}

function setsOf(rule: Rule): readonly Texts[] {
  // Rules of the other kinds say themselves what their texts hold.
  return rule.kind === "regex" ? regexSets(rule.regex) : rule.literals;
}

function regexSets(regex: RegExp): Texts[] {
  // Classes of strings need another parser; with g and y a regex must meet every record in turn.
  if (regex.unicodeSets || regex.global || regex.sticky) return [];
  const { source, unicode, ignoreCase } = regex;
  const { alternatives } = new RegExpParser().parsePattern(source, 0, source.length, { unicode });
  return limits.literalClassesMax.flatMap((classMax) =>
    closed(ofAlternatives(alternatives, { unicode, ignoreCase, classMax }))
  );
}

// --- sets of texts --------------------------------------------------------------------------------

/** Every one of the one with every one of the other behind it; undefined if that is too much. */
function cross(before: Texts, behind: Texts): Texts | undefined {
  if (before.length * behind.length > limits.literalsPerRuleMax) return undefined;
  const joined = before.flatMap((a) => behind.map((b) => a + b));
  if (joined.some((text) => text.length > limits.literalBytesMax)) return undefined;
  return [...new Set(joined)];
}

/** All sets of a language, those included that nothing can be joined to any more. */
function closed({ head, tail, sets }: Language): Texts[] {
  return [...sets, head, tail].filter(isUsable);
}

function isUsable(set: Texts): boolean {
  return set.length > 0 && set.length <= limits.literalsPerRuleMax &&
    set.every((text) => text.length >= limits.literalBytesMin);
}

/** What of each text can be looked for in storage, without what another one of them finds as well. */
function storedParts(set: Texts): string[] {
  const parts = [...new Set(set.map(storedPart))];
  const holdsOther = (part: string) =>
    parts.some((other) => other.length < part.length && part.includes(other));
  return parts.filter((part) => !holdsOther(part));
}

function storedPart(text: string): string {
  // The receiver stores a # at the start of a raw line as \x23.
  const runs = text.split(/[^\x20-\x7e]|\\/).map((run) => run.startsWith("#") ? run.slice(1) : run);
  return runs.reduce((longest, run) => run.length > longest.length ? run : longest);
}

function distinct<Set extends Texts>(sets: readonly Set[]): Set[] {
  return [...new Map(sets.map((set) => [set.join("\n"), set])).values()];
}

/** The set of fewest expected places. */
function rarest(sets: Texts[]): Texts | undefined {
  const expected = (set: Texts) => set.reduce((sum, text) => sum + expectedPerMiB(text), 0);
  return sets.toSorted((a, b) => expected(a) - expected(b))[0];
}

// --- languages ------------------------------------------------------------------------------------

function exactly(texts: Texts, sets: Texts[] = []): Language {
  return { exact: texts, head: texts, tail: texts, sets };
}

/** The one, and behind it the other. */
function concatenate(a: Language, b: Language): Language {
  const sets = [...a.sets, ...b.sets];
  // Few short texts can be better than many long ones.
  if (b.head.length > 1) sets.push(a.tail);
  if (a.tail.length > 1) sets.push(b.head);
  const joined = cross(a.tail, b.head);
  if (a.exact && b.exact && joined) return exactly(joined, sets.filter(isUsable));
  if (!joined || !(a.exact || b.exact)) sets.push(...(joined ? [joined] : [a.tail, b.head]));
  const head = a.exact && joined ? joined : a.head;
  const tail = b.exact && joined ? joined : b.tail;
  return { head, tail, sets: sets.filter(isUsable) };
}

/** The one or the other. */
function unite(languages: Language[]): Language {
  if (languages.length === 1) return languages[0]!;
  const union = (all: (Texts | undefined)[]): Texts | undefined => {
    const texts = new Set(all.flatMap((one) => one ?? []));
    return all.includes(undefined) || texts.size > limits.literalsPerRuleMax
      ? undefined
      : [...texts];
  };
  const either = union(languages.map((language) => rarest(closed(language))));
  const sets = either && isUsable(either) ? [either] : [];
  const exact = union(languages.map((language) => language.exact));
  if (exact) return exactly(exact, sets);
  const head = union(languages.map((language) => language.head)) ?? nothing;
  const tail = union(languages.map((language) => language.tail)) ?? nothing;
  return { head, tail, sets };
}

// --- the regex's tree -----------------------------------------------------------------------------

function ofAlternatives(alternatives: AST.Alternative[], flags: Flags): Language {
  return unite(
    alternatives.map(({ elements }) =>
      elements.map((element) => ofElement(element, flags)).reduce(concatenate, exactly(nothing))
    ),
  );
}

function ofElement(element: AST.Element, flags: Flags): Language {
  switch (element.type) {
    case "Character":
      return ofCharacters(variants(element.value, flags));
    case "CharacterSet":
      return ofClass([element], false, flags);
    case "CharacterClass":
      return ofClass(element.elements, element.negate, flags);
    case "CapturingGroup":
      return ofAlternatives(element.alternatives, flags);
    case "Group":
      return ofAlternatives(element.alternatives, modified(flags, element.modifiers));
    case "Quantifier":
      return ofQuantifier(element, flags);
    case "Assertion":
      // What a look-around looks at is beside the text here, or is in it anyway.
      return exactly(nothing);
    default:
      return anything;
  }
}

function ofCharacters(texts: Texts | undefined): Language {
  return texts && texts.length > 0 ? exactly(texts) : anything;
}

/** The characters that are meant by one in the regex; undefined if storage may show them otherwise. */
function variants(code: number, { ignoreCase, unicode }: Flags): string[] | undefined {
  if (code < 0x20 || code > 0x7e || code === 0x5c) return undefined;
  const character = String.fromCharCode(code);
  if (!ignoreCase || !/[a-z]/i.test(character)) return [character];
  // By Unicode's folding the long s and the sign of kelvin are cases of these two.
  if (unicode && /[sk]/i.test(character)) return undefined;
  return [character.toLowerCase(), character.toUpperCase()];
}

type ClassElement = AST.CharacterClassElement | AST.CharacterSet;

function ofClass(elements: ClassElement[], negate: boolean, flags: Flags): Language {
  if (negate) return anything;
  const characters = new Set<string>();
  for (const element of elements) {
    const codes = codesOf(element);
    for (const code of codes ?? []) {
      const meant = variants(code, flags);
      if (!meant) return anything;
      for (const character of meant) characters.add(character);
    }
    if (!codes || characters.size > flags.classMax) return anything;
  }
  return ofCharacters([...characters]);
}

/** The few characters that it means; undefined if they are many. */
function codesOf(element: ClassElement): number[] | undefined {
  if (element.type === "Character") return [element.value];
  if (element.type === "CharacterSet" && element.kind === "digit" && !element.negate) {
    return range(0x30, 0x39);
  }
  return element.type === "CharacterClassRange"
    ? range(element.min.value, element.max.value)
    : undefined;
}

function range(first: number, last: number): number[] | undefined {
  if (last - first >= limits.literalsPerRuleMax) return undefined;
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function modified(flags: Flags, modifiers: AST.Modifiers | null): Flags {
  if (modifiers?.add.ignoreCase) return { ...flags, ignoreCase: true };
  if (modifiers?.remove?.ignoreCase) return { ...flags, ignoreCase: false };
  return flags;
}

function ofQuantifier({ min, max, element }: AST.Quantifier, flags: Flags): Language {
  if (max === 0) return exactly(nothing);
  const one = ofElement(element, flags);
  if (min === 0) return max === 1 && one.exact ? unite([exactly(nothing), one]) : anything;
  let all = one;
  let times = 1;
  // As often as it must be, but for its ends no more often than a literal has bytes.
  while (times < min && times < limits.literalBytesMax) {
    all = concatenate(all, one);
    times++;
  }
  if (times === max) return all;
  // More of them may stand in between.
  return { head: all.head, tail: all.tail, sets: all.sets };
}
