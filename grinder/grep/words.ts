/** Options of one letter, as other greps have them, in; the same in full out. */

const full: Record<string, string> = {
  "-c": "--count",
  "-i": "--ignore-case",
  "-A": "--after",
  "-B": "--before",
  "-C": "--context",
};

/** `-A 3` and `-A3`; behind `--` nothing is an option. */
export function inFull(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  const words = options.flatMap((word) => {
    const [, letter, number] = /^(-[A-Za-z])(\d*)$/.exec(word) ?? [];
    const name = letter === undefined ? undefined : full[letter];
    if (name === undefined) return [word];
    return number === "" ? [name] : [name, number!];
  });
  return end < 0 ? words : [...words, ...argv.slice(end)];
}
