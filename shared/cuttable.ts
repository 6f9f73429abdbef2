/** A stream in, its chunks out, which end with an error as soon as a signal says so. */

/**
 * Gives chunks as they are asked for. When `signal` is aborted, even in the middle of a wait, its reason
 * is thrown; the body is cancelled then, and whenever the caller doesn't read to the end. (A generator:
 * a stream around the stream took a fifth more of the receiver's time.)
 */
export async function* cuttable(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  onChunk: (bytes: number) => void = () => {},
): AsyncGenerator<Uint8Array, void, void> {
  const reader = body.getReader();
  const cancel = (reason: unknown) => void reader.cancel(reason).catch(() => {});
  const cut = () => cancel(signal.reason);
  if (signal.aborted) cut();
  else signal.addEventListener("abort", cut, { once: true });
  let ended = false;
  try {
    while (!ended) {
      const { done, value } = await reader.read();
      // A cancelled reader says `done`, as if the sender had finished: it hasn't.
      signal.throwIfAborted();
      ended = done;
      if (done) return;
      onChunk(value.length);
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", cut);
    if (!ended) cancel(signal.reason);
  }
}
