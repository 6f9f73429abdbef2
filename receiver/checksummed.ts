/** A runtime's own zstd in, which leaves the checksum out; a frame with one (RFC 8878, 3.1.1) out. */

type Compress = (text: Uint8Array) => Uint8Array;
/** XXH64 with seed 0. */
type Hash = (text: Uint8Array) => bigint;

const descriptorAt = 4;
const checksumBit = 0x04;

/** Frames with content size and checksum, as `compressFrame` makes them. The caller owns them. */
export function checksummed(compress: Compress, hash: Hash): Compress {
  return (text) => {
    const bare = compress(text);
    if (bare[descriptorAt]! & checksumBit) throw new Error("a frame must have no checksum yet");
    const frame = new Uint8Array(bare.length + 4);
    frame.set(bare);
    frame[descriptorAt]! |= checksumBit;
    const low = Number(BigInt.asUintN(32, hash(text)));
    new DataView(frame.buffer).setUint32(bare.length, low, true);
    return frame;
  };
}
