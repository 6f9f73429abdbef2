/** `--devices` in, their names out; of a name that nobody knows it is said which may have been meant. */
import { AllowList } from "../../shared/allowlist.ts";
import { listPlace, openPlaces } from "../../shared/allowlist_place.ts";
import { UsageError } from "../../shared/options.ts";
import type { OpenOptions } from "../../shared/storage/open.ts";
import { devicesOf } from "../reading/device_words.ts";
import { nearNames } from "../reading/near_names.ts";

export interface AskedDevices {
  /** Undefined: all. */
  devices: ReadonlySet<string> | undefined;
  /** What is to be said of one that is in no list and no index; records of it may be stored all the same. */
  unknown: string | undefined;
}

/** Throws `UsageError`, also where no device has the labels. */
export async function askedDevices(
  words: string | undefined,
  place: OpenOptions & { data: string },
  indexed: () => Iterable<string>,
): Promise<AskedDevices> {
  if (words === undefined) return { devices: undefined, unknown: undefined };
  const list = await AllowList.open(listPlace(await openPlaces(place.data, place)));
  const listed = [...list.devices()];
  const devices = new Set(devicesOf(words, listed));
  if (devices.size === 0) {
    throw new UsageError(
      `Cannot use --devices because some device must have the labels: none has ${words}`,
    );
  }
  const known = new Set([...listed.map(({ name }) => name), ...indexed()]);
  const unknown = [...devices].find((device) => !known.has(device));
  if (unknown === undefined) return { devices, unknown };
  const near = nearNames(unknown, known);
  const hint = near.length > 0 ? `. Near to it are ${near.join(", ")}` : "";
  return { devices, unknown: `${unknown} is in no list of devices and in no index${hint}` };
}
