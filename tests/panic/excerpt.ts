/** A narrative of whole boots in, what of it a person would read first out: beginnings, and ends. */

/** Lines at each boot's beginning and end that are shown. */
const beginningLines = 2;
const endLines = { panicked: 14, alive: 3 };
/** After a panic a kernel prints some forty lines about itself. */
const afterPanicLines = 3;
const columns = 100;
/** A day's or a boot's heading. */
const heading = /^(?:----|====) /;

/** `told`: what `deno task narrative DEVICE` prints. */
export function excerpt(told: string): string {
  const lines = told.trimEnd().split("\n");
  const starts = lines.flatMap((line, i) => heading.test(line) ? [i] : []);
  return starts.flatMap((start, i) => [
    lines[start],
    ...shownOf(lines.slice(start + 1, starts[i + 1]).map(cut)),
  ]).join("\n");
}

function shownOf(lines: string[]): string[] {
  const panic = lines.findIndex((line) => line.includes("Kernel panic - not syncing"));
  const until = panic < 0 ? lines.length : Math.min(panic + afterPanicLines, lines.length);
  const from = until - (panic < 0 ? endLines.alive : endLines.panicked);
  if (from <= beginningLines) return [...lines.slice(0, until), ...leftOut(lines.length - until)];
  return [
    ...lines.slice(0, beginningLines),
    ...leftOut(from - beginningLines),
    ...lines.slice(from, until),
    ...leftOut(lines.length - until),
  ];
}

function leftOut(count: number): string[] {
  return count === 0 ? [] : [`${" ".repeat(18)}... ${count} lines`];
}

function cut(line: string): string {
  return line.length <= columns ? line : `${line.slice(0, columns - 3)}...`;
}
