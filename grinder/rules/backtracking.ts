/**
 * A regex to whether it can take for ever: one that tries all there is goes on in linear time, but only if
 * V8's linear engine can run it, and that can't do lookaheads, backreferences, the flags i, u and v, or
 * high counts. Such a regex must not repeat what can be repeated in several ways.
 *
 * This errs on the side of caution: `(?:a+,)+` can't explode, and is refused beside a lookahead.
 */
import { type AST, RegExpParser, visitRegExpAST } from "@eslint-community/regexpp";

/** Fewer repetitions of something only make it slower, by a bounded factor. */
const repeatsMax = 10;
/** The linear engine writes `a{3}` as `aaa`, and declines more copies of anything than this. */
const copiesMax = 16;

/** The part that can explode; undefined if none can. */
export function explosivePart(regex: RegExp): string | undefined {
  const { source, unicode, unicodeSets } = regex;
  const pattern = new RegExpParser().parsePattern(source, 0, source.length, {
    unicode,
    unicodeSets,
  });
  if (isLinear(regex, pattern)) return undefined;
  let part: string | undefined;
  visitRegExpAST(pattern, {
    onQuantifierEnter(repeat) {
      if (repeat.max > repeatsMax && hasChoice(repeat.element)) part ??= repeat.raw;
    },
  });
  return part;
}

function isLinear({ flags }: RegExp, pattern: AST.Pattern): boolean {
  let linear = !/[iuv]/.test(flags);
  let copies = 1;
  const own = ({ min, max }: AST.Quantifier) => Math.max(1, max === Infinity ? min + 1 : max);
  visitRegExpAST(pattern, {
    onAssertionEnter: ({ kind }) => void (linear &&= kind !== "lookahead"),
    onModifiersEnter: () => void (linear = false),
    onBackreferenceEnter: () => void (linear = false),
    onQuantifierEnter: (repeat) => void (linear &&= (copies *= own(repeat)) <= copiesMax),
    onQuantifierLeave: (repeat) => void (copies /= own(repeat)),
  });
  return linear;
}

/** Whether it can match one text in more ways than one, as far as that can be seen. */
function hasChoice(element: AST.QuantifiableElement): boolean {
  let choice = false;
  const alternatives = ({ alternatives }: AST.Group | AST.CapturingGroup) =>
    void (choice ||= alternatives.length > 1);
  visitRegExpAST(element, {
    onGroupEnter: alternatives,
    onCapturingGroupEnter: alternatives,
    onQuantifierEnter: ({ min, max }) => void (choice ||= min !== max),
  });
  return choice;
}
