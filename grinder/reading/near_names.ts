/** A name that isn't known, and those that are, in; the names that may have been meant out. */

const namesMax = 5;

/** Nearest first: by how many letters must be added, left out, changed or swapped with the next. */
export function nearNames(name: string, known: Iterable<string>): string[] {
  const lower = name.toLowerCase();
  const near: Array<{ name: string; steps: number }> = [];
  for (const other of known) {
    const isPart = name.length >= 3 && other.toLowerCase().includes(lower);
    const stepsMax = Math.max(1, Math.floor(name.length / 3));
    const steps = isPart ? 1 : stepsBetween(lower, other.toLowerCase(), stepsMax);
    if (steps <= stepsMax) near.push({ name: other, steps });
  }
  near.sort((a, b) => a.steps - b.steps || (a.name < b.name ? -1 : 1));
  return near.slice(0, namesMax).map(({ name }) => name);
}

/** The optimal string alignment distance; Infinity if it is above `most`. */
function stepsBetween(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return Infinity;
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = last[j - 1]! + Number(a[i - 1] !== b[j - 1]);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        changed,
        last[j]! + 1,
        row[j - 1]! + 1,
        isSwap ? before[j - 2]! + 1 : Infinity,
      );
    }
    if (Math.min(...row) > most) return Infinity;
    [before, last] = [last, row];
  }
  return last[b.length]! <= most ? last[b.length]! : Infinity;
}
