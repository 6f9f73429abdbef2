/**
 * Which devices an operator means, as words in, their names out:
 *
 *     router1,router2         these
 *     city=Berlin,model=R2    all that have these labels in the allow-list
 */
import { isName } from "../../shared/block.ts";
import { UsageError } from "../../shared/options.ts";

export interface LabelledDevice {
  name: string;
  labels: Record<string, string>;
}

/** Names as they are said, known or not. Throws `UsageError`. */
export function devicesOf(words: string, known: Iterable<LabelledDevice>): string[] {
  const terms = words.split(",");
  const labels = terms.filter((term) => term.includes("="));
  if (labels.length === 0 && terms.every(isName)) return [...new Set(terms)];
  if (labels.length < terms.length || !labels.every((term) => /^[^=]+=/.test(term))) {
    throw new UsageError(
      "Cannot use --devices because it must be names (router1,router2) or labels " +
        `(city=Berlin,model=R2): it is ${words}`,
    );
  }
  const wanted = labels.map((
    term,
  ) => [term.slice(0, term.indexOf("=")), term.slice(term.indexOf("=") + 1)]);
  return [...known].filter(({ labels }) =>
    wanted.every(([label, value]) => labels[label!] === value)
  )
    .map(({ name }) => name).sort();
}
