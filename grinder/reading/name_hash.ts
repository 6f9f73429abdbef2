/** A name in, a number of 52 bits out that stands for it where the name would take too much room. */
export function nameHash(name: string): number {
  let [low, high] = [0x811c9dc5, 0x01234567];
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x9e3779b1);
    high ^= high >>> 15;
  }
  return (high & 0xfffff) * 2 ** 32 + (low >>> 0);
}
