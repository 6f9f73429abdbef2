/** A count of bytes that still grows in; resolves when it has stopped growing. */

/** What a pipe or a socket held already is there within a few turns of the event loop. */
const quietMs = 20;
/** A program that writes on and on isn't waited for. */
const quietMsMax = 1_000;

/** So that, at a stop, what was written before it is still read. */
export async function untilQuiet(
  bytesRead: () => number,
  sleep: (ms: number) => Promise<void>,
): Promise<void> {
  for (let waitedMs = 0; waitedMs < quietMsMax; waitedMs += quietMs) {
    const before = bytesRead();
    await sleep(quietMs);
    if (bytesRead() === before) return;
  }
}
