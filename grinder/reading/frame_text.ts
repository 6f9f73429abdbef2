/** What can be told of a frame's text without reading all of its headers. */
import { parseBlockHeader } from "../../shared/block.ts";

/** So many names are looked for one by one: that is faster than to look at each header. */
const namesMax = 4;

/** When its first block was received; undefined if that has no readable header. */
export function firstRecvUs(text: string): number | undefined {
  return parseBlockHeader(text.slice(0, text.indexOf("\n")))?.recvUs;
}

/** False if no block of it is of one of the devices. */
export function mayHold(text: string, devices: ReadonlySet<string> | undefined): boolean {
  if (!devices) return true;
  if (devices.size > namesMax) return !devices.isDisjointFrom(devicesIn(text));
  for (const device of devices) if (text.includes(`#1 ${device} `)) return true;
  return false;
}

/** The devices that its headers name. */
export function devicesIn(text: string): Set<string> {
  const devices = new Set<string>();
  for (let at = 0; at >= 0;) {
    const start = at === 0 ? 3 : at + 4;
    devices.add(text.slice(start, text.indexOf(" ", start)));
    at = text.indexOf("\n#1 ", start);
  }
  return devices;
}
