/** The allow-list's labels of each device by its name, read again when the file changes. */
import { readFileSync, statSync } from "node:fs";
import { parseAllowList } from "../shared/allowlist.ts";

export class DeviceLabels {
  #labels = new Map<string, Record<string, string>>();
  #mtimeMs: number | undefined;

  constructor(private readonly path: string) {
    this.reload();
  }

  of = (device: string): Record<string, string> => this.#labels.get(device) ?? {};

  /** A file that isn't there, or can't be read now, leaves the labels as they were. */
  reload(): void {
    const mtimeMs = statSync(this.path, { throwIfNoEntry: false })?.mtimeMs;
    if (mtimeMs === undefined || mtimeMs === this.#mtimeMs) return;
    try {
      const { devices } = parseAllowList(readFileSync(this.path, "utf8"));
      this.#labels = new Map([...devices.values()].map(({ name, labels }) => [name, labels]));
      this.#mtimeMs = mtimeMs;
    } catch { /* The receiver is who reports it. */ }
  }
}
