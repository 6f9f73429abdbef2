/** A receiver's memory in, what it takes at a time out. */
import { receiverLimits } from "./receiver.ts";
import { storedLimits } from "./stored.ts";
import { MiB } from "./units.ts";

const l = { ...storedLimits, ...receiverLimits };

export interface ReceiverBudget {
  liveStreams: number;
  bulkStreams: number;
  /** Decoded text that waits for its commit, of live and of bulk streams. */
  liveBytes: number;
  bulkBytes: number;
}

/**
 * What a receiver of so much memory takes at a time: of what the program itself and the devices on its
 * allow-list leave, half is for live streams, a sixth for bulk streams, a sixth each for their text in
 * flight. Throws if it is too little to work with.
 */
export function receiverBudget(memoryBytes: number, devices = 0): ReceiverBudget {
  const ownBytes = l.receiverBaseBytes + devices * l.allowListDeviceBytes;
  const sixth = (memoryBytes - ownBytes) / 6;
  const budget = {
    liveStreams: Math.min(l.liveStreamsMax, Math.floor(3 * sixth / l.liveStreamBytes)),
    bulkStreams: Math.min(l.bulkStreamsMax, Math.floor(sixth / l.bulkStreamBytes)),
    liveBytes: Math.floor(sixth / l.bytesPerByteInFlight),
    bulkBytes: Math.floor(sixth / l.bytesPerByteInFlight),
  };
  if (budget.bulkStreams >= 1 && budget.liveBytes >= 4 * l.frameTextBytesMax) return budget;
  const needBytes = ownBytes + 6 * 4 * l.frameTextBytesMax * l.bytesPerByteInFlight;
  throw new RangeError(
    `Cannot divide up memory because it must be at least ${Math.ceil(needBytes / MiB)} MiB: ` +
      `current value is ${Math.floor(memoryBytes / MiB)} MiB`,
  );
}
