/** The devices that are known: by the allow-list, and by the index of what is stored. */
import type { LabelledDevice } from "../reading/device_words.ts";
import { nearNames } from "../reading/near_names.ts";

/** No such device; the message names those that may have been meant. */
export class UnknownDeviceError extends Error {
  override name = "UnknownDeviceError";
  readonly code = "unknown_device";
}

export class KnownDevices {
  /** `stored` gives the names of devices of which something is stored, as far as they are known. */
  constructor(
    private readonly listed: () => Promise<readonly LabelledDevice[]>,
    private readonly stored: () => Iterable<string>,
  ) {}

  /** Nothing was found of any of these: rejects with `UnknownDeviceError` for one that isn't known. */
  async refuseUnknown(devices: readonly string[]): Promise<void> {
    if (devices.length === 0) return;
    const names = new Set([...(await this.listed()).map(({ name }) => name), ...this.stored()]);
    const unknown = devices.find((device) => !names.has(device));
    if (unknown === undefined) return;
    const near = nearNames(unknown, names);
    const hint = near.length > 0 ? `. Near to it are ${near.join(", ")}` : "";
    throw new UnknownDeviceError(
      `Cannot tell of ${unknown} because nothing is stored of it, and no list has it${hint}`,
    );
  }
}
