/** Edits of the allow-list: a place and a device go in, the place holds the changed list. */
import {
  AllowListError,
  conflict,
  type Device,
  formatDevice,
  parseAllowList,
  words,
} from "./allowlist_format.ts";
import type { ListPlace } from "./allowlist_place.ts";
import { limits } from "./limits.ts";

/**
 * Adds a line. Returns false if the very same device is there already.
 *
 * @throws AllowListError; what the place throws if it can't be read or written
 */
export async function addDevice(place: ListPlace, device: Device): Promise<boolean> {
  const line = formatDevice(device);
  return await edit(place, (old) => {
    const { devices } = parseAllowList(old);
    const same = devices.get(device.thumbprint);
    if (same !== undefined && formatDevice(same) === line) return { result: false };
    const names = new Set(Array.from(devices.values(), ({ name }) => name));
    const problem = conflict((thumbprint) => devices.get(thumbprint)?.name, names, device);
    if (problem !== undefined) {
      throw new AllowListError(
        "device_exists",
        `Cannot allow device because ${problem}; run \`receiver revoke\` first`,
      );
    }
    const text = `${old}${old === "" || old.endsWith("\n") ? "" : "\n"}${line}\n`;
    return { result: true, text };
  });
}

/**
 * Removes every line of the device with this thumbprint or name, also lines that another one
 * overruled: they must not come to life. Comments stay.
 *
 * @returns how many lines went; 0 if there is no such device
 * @throws AllowListError `contended`; what the place throws if it can't be read or written
 */
export async function removeDevice(place: ListPlace, thumbprintOrName: string): Promise<number> {
  let found = 0;
  return await edit(place, (old) => {
    const lines = old.split("\n");
    const kept = without(lines, thumbprintOrName);
    // A write whose answer got lost was made all the same, and looks like another's at the next try.
    found = Math.max(found, lines.length - kept.length);
    return kept.length < lines.length
      ? { result: found, text: kept.join("\n") }
      : { result: found };
  });
}

/** The lines that are not of this device. */
function without(lines: string[], thumbprintOrName: string): string[] {
  const gone = new Set([thumbprintOrName]);
  for (const [thumbprint, name] of lines.map(words)) {
    if (name === thumbprintOrName) gone.add(thumbprint!);
  }
  return lines.filter((line) => {
    const [thumbprint, name] = words(line);
    return thumbprint === undefined || !(gone.has(thumbprint) || name === thumbprintOrName);
  });
}

/** Makes an edit of the newest text, again where another edit got ahead of it. */
async function edit<T>(
  place: ListPlace,
  change: (old: string) => { result: T; text?: string },
): Promise<T> {
  for (let tries = 0; tries < limits.listEditsMax; tries++) {
    const { text: old, stamp } = (await place.read())!; // Without a stamp there is always a text.
    const { result, text } = change(old);
    if (text === undefined || await place.replace(text, stamp)) return result;
  }
  throw new AllowListError(
    "contended",
    `Cannot edit allow-list because ${place.name} must stay the same meanwhile: ` +
      `current value is ${limits.listEditsMax} changes by others`,
  );
}
