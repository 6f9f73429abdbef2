/** Any number of rules: the shipped ones, and beyond them made-up ones about words of the text. */
import type { Frame } from "./sieve_frames.ts";
import { Buffer } from "node:buffer";
import { type Rule, rule } from "../../grinder/rule.ts";
import { seededRandom } from "../../tests/fleet/random.ts";

/** A made-up rule is about what stands in a MiB at most so often: rules are about rare things. */
const placesMax = 10;

export function someRules(
  shipped: readonly Rule[],
  count: number,
  { bytes, length }: Frame,
): Rule[] {
  const rules = shipped.slice(0, count);
  const random = seededRandom(8);
  const text = Buffer.from(bytes.buffer, 0, length).toString("latin1");
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  for (let tries = 0; rules.length < count && tries < 50_000; tries++) {
    const line = lines[Math.floor(random() * lines.length)]!;
    const words = line.slice(line.indexOf(";") + 1).split(" ");
    const at = Math.floor(random() * (words.length - 1));
    const phrase = words.slice(at, at + 2).join(" ");
    if (!/^[\w: -]{8,32}$/.test(phrase) || text.split(phrase).length > placesMax) continue;
    const regex = new RegExp(`(?<before>\\w{1,20}) ${phrase}(?: (?<behind>\\w{1,20}))?`);
    rules.push(rule(`made_up_${rules.length}`, regex, { labels: ["before", "behind"], yes: [] }));
  }
  if (rules.length < count) throw new Error(`Cannot make up ${count} rules: ${rules.length} fit`);
  return rules;
}
