/** A stream in, the same stream out, which ends with an error as soon as a signal says so. */

/**
 * Passes chunks on as they are asked for, without a buffer of its own. When `signal` is aborted, even
 * in the middle of a wait, the stream fails with the signal's reason and `body` is cancelled.
 */
export function cuttable(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  onChunk: () => void = () => {},
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      // A cancelled reader says `done`, as if the sender had finished: it hasn't.
      signal.throwIfAborted();
      if (!done) {
        onChunk();
        return controller.enqueue(value);
      }
      signal.removeEventListener("abort", cancel);
      controller.close();
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}
