/**
 * Any number of rules, for the grinder as a rules file and for ripgrep as patterns that match the same
 * records: shipped rules without what ripgrep's own engine can't do, and beyond them the same again about
 * words that no log has.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadRules } from "../../grinder/load_rules.ts";
import type { RegexRule } from "../../grinder/rule.ts";
import { root } from "../../tests/programs.ts";

/** The first `count` of what there can be. */
export async function benchRules(path: string, count: number): Promise<RegexRule[]> {
  const shipped = (await loadRules(path)).filter((rule) =>
    rule.kind === "regex" && !/\(\?<?[!=]/.test(rule.regex.source) && rule.regex.flags === ""
  ) as RegexRule[];
  const rules = shipped.slice(0, count);
  for (let i = 0; rules.length < count; i++) {
    const like = shipped[i % shipped.length]!;
    const regex = new RegExp(`${word(i)} (?:${like.regex.source})`);
    const yes = like.yes.map((line) => `${word(i)} ${firstMatch(like, line)}`);
    rules.push({ ...like, name: `${like.name}_${i}`, regex, yes, no: [] });
  }
  return rules;
}

/** Such words aren't in any log. */
function word(i: number): string {
  return `${"qzjxkvwp"[i % 8]}${i.toString(36)}zq${(i * 7919).toString(36)}`;
}

function firstMatch(rule: RegexRule, line: string): string {
  const match = rule.regex.exec(line)!;
  return line.slice(match.index);
}

/** Writes `rules.ts` and `patterns` into a folder. */
export function writeRules(folder: string, rules: readonly RegexRule[]): void {
  const from = JSON.stringify(join(root, "grinder/rule.ts"));
  const lines = rules.map(({ name, regex, labels, value, device, yes }) =>
    `  rule(${JSON.stringify(name)}, ${regex}, ${
      JSON.stringify({ labels, device, yes, ...(value === undefined ? {} : { value }) })
    } as never),\n`
  );
  writeFileSync(
    join(folder, "rules.ts"),
    `import { rule } from ${from};\nexport default [\n${lines.join("")}];\n`,
  );
  writeFileSync(join(folder, "patterns"), rules.map(({ regex }) => `${pattern(regex)}\n`).join(""));
}

/**
 * A rule's regex sees a record's text; ripgrep sees the line, which has the prefix before it. Its groups
 * need no names, and in its classes a `[` would begin another one.
 */
function pattern({ source }: RegExp): string {
  const escapedOrClass = /\\.|\[(?:\\.|[^\]\\])*\]/g;
  return source
    .replaceAll(escapedOrClass, (all) => {
      if (all.startsWith("\\")) return all === "\\/" ? "/" : all;
      return `[${all.slice(1).replaceAll("\\/", "/").replaceAll(/\\?\[/g, "\\[")}`;
    })
    .replaceAll(/\(\?<\w+>/g, "(?:")
    .replace(/^\^/, "^[^;]*;");
}
