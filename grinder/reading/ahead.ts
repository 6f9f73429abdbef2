/**
 * Work in, its results out in order; while one is used the next ones are already being fetched, at most
 * `parallel` at a time.
 */
export async function* ahead<In, Out>(
  all: Iterable<In>,
  parallel: number,
  fetch: (one: In) => Promise<Out>,
): AsyncGenerator<Out> {
  const waiting: Promise<Out>[] = [];
  for (const one of all) {
    const result = fetch(one);
    // It is told of when its turn comes; if that never does, nobody asks.
    result.catch(() => {});
    waiting.push(result);
    if (waiting.length >= parallel) yield await waiting.shift()!;
  }
  for (const result of waiting) yield await result;
}
