/**
 * How long somebody is usually quiet, learned from how long he was: about nine in ten of the longest gaps
 * of each half minute are shorter. Gaps that are rare don't move it much, however long they are.
 */

/** The longest gap in at least this much time is one sample: else a burst would drown all the rest. */
export const sampleUs = 30e6;
/** Of fewer samples the longest counts, and nothing is judged by it. */
export const samplesMin = 8;

/** Up by at most this, down by at most that: in balance where one in nine goes up. */
const up = 1.5;
const down = 0.95;

/** The usual interval after one more sample; there were so many before. */
export function learnUsual(usualUs: number, samples: number, gapUs: number): number {
  if (samples < samplesMin) return Math.max(usualUs, gapUs);
  return gapUs > usualUs ? Math.min(gapUs, usualUs * up) : Math.max(gapUs, usualUs * down);
}
