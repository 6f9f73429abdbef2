/** Lets a fleet's devices in: all of them in one edit of the allow-list. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Device } from "../../shared/allowlist.ts";

/**
 * Writes the devices' lines behind those that are there. Lines of devices with the same names go: they
 * are of an earlier fleet, whose keys died with it.
 */
export function allowDevices(path: string, devices: Device[]): void {
  mkdirSync(dirname(path), { recursive: true });
  const names = new Set(devices.map((device) => device.name));
  const old = existsSync(path) ? readFileSync(path, "utf8") : "";
  const kept = old.split("\n").filter((line) =>
    line.startsWith("#") || !names.has(line.split(/[ \t]+/)[1] ?? "")
  );
  if (kept.at(-1) === "") kept.pop();
  const added = devices.map(({ thumbprint, name, labels }) =>
    [thumbprint, name, ...Object.entries(labels).map(([key, value]) => `${key}=${value}`)].join(" ")
  );
  const temporary = `${path}.fleet.tmp`;
  writeFileSync(temporary, [...kept, ...added, ""].join("\n"));
  renameSync(temporary, path);
}
