/** The allow-list's labels of each device by its name, read again when the list changes. */
import { AllowList } from "../shared/allowlist.ts";
import type { ListPlace } from "../shared/allowlist_place.ts";

export class DeviceLabels {
  #labels = new Map<string, Record<string, string>>();

  private constructor(private readonly list: AllowList) {
    this.#take();
  }

  static async open(place: ListPlace): Promise<DeviceLabels> {
    return new DeviceLabels(await AllowList.open(place));
  }

  of = (device: string): Record<string, string> => this.#labels.get(device) ?? {};

  /** A list that can't be read now leaves the labels as they were: the receiver is who reports it. */
  async reload(): Promise<void> {
    if (await this.list.reload()) this.#take();
  }

  /** So does one that has no devices any more: their records are still being ground. */
  #take(): void {
    if (this.list.size === 0) return;
    const devices = [...this.list.devices()];
    this.#labels = new Map(devices.map(({ name, labels }) => [name, labels]));
  }
}

/** JSON of a rule's labels, with those of the device that the rule takes. */
export function withDeviceLabels(
  labels: string,
  names: readonly string[],
  own: Record<string, string>,
): string {
  if (names.length === 0) return labels;
  const more = names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(own[name] ?? "")}`);
  return labels === "{}" ? `{${more.join(",")}}` : `${labels.slice(0, -1)},${more.join(",")}}`;
}
