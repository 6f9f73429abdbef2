/** A machine's files in, what they say about it: all below a root, so that a recorded tree will do. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { gunzipSync } from "node:zlib";
import { forEachRecord, type LogRecord } from "../../shared/record.ts";
import { openRing } from "../ring.ts";

export interface Mount {
  device: string;
  path: string;
  type: string;
}

export class Machine {
  #kmsg: LogRecord[] | undefined;

  constructor(readonly root = "/") {}

  /** A file's text without the spaces around it; undefined if it can't be read. */
  text(path: string): string | undefined {
    try {
      return readFileSync(this.#at(path), "utf8").trim();
    } catch {
      return undefined;
    }
  }

  /** Also hexadecimal; undefined if there is none. */
  number(path: string): number | undefined {
    const text = this.text(path);
    return text === undefined || text === "" || Number.isNaN(Number(text))
      ? undefined
      : Number(text);
  }

  exists(path: string): boolean {
    return existsSync(this.#at(path));
  }

  /** The first of these that is there. */
  first(...paths: string[]): string | undefined {
    return paths.find((path) => this.exists(path));
  }

  names(folder: string): string[] {
    try {
      return readdirSync(this.#at(folder)).sort();
    } catch {
      return [];
    }
  }

  /** A module's parameter; undefined if it isn't there, or has no value. */
  parameter(module: string, name: string): string | undefined {
    const text = this.text(`/sys/module/${module}/parameters/${name}`);
    return text === undefined || text === "" || text === "(null)" ? undefined : text;
  }

  /** What the kernel was booted with; of several of one name the last counts. A word alone is "". */
  get commandLine(): Map<string, string> {
    const words = (this.text("/proc/cmdline") ?? "").split(/\s+/).filter((word) => word !== "");
    return new Map(words.map((word) => {
      const [, name, value = ""] = /^([^=]*)(?:=(.*))?$/s.exec(word)!;
      return [name!, value.replaceAll(/^"|"$/g, "")];
    }));
  }

  get kernelRelease(): string | undefined {
    return this.text("/proc/sys/kernel/osrelease");
  }

  /** `y`, `m`, a number, or "n" for what is off; undefined if the kernel doesn't tell how it was built. */
  config(name: string): string | undefined {
    const text = this.#config();
    if (text === undefined) return undefined;
    return new RegExp(`^CONFIG_${name}=(.*)$`, "m").exec(text)?.[1] ?? "n";
  }

  get mounts(): Mount[] {
    return (this.text("/proc/mounts") ?? "").split("\n").map((line) => {
      const [device = "", path = "", type = ""] = line.split(" ");
      return { device, path, type };
    });
  }

  /** What holds a path, or will: symbolic links are followed as far as there are any. */
  mountOf(path: string): Mount | undefined {
    const real = this.#resolve(path);
    return this.mounts
      .filter((mount) => real === mount.path || real.startsWith(mount.path.replace(/\/?$/, "/")))
      // The last one mounted on a place is the one that is seen.
      .reduce<Mount | undefined>(
        (best, mount) => mount.path.length >= (best?.path.length ?? 0) ? mount : best,
        undefined,
      );
  }

  /** What the kernel's ring held at the first call; a recorded one is a file of records. Throws if it can't be read. */
  kmsg(): LogRecord[] {
    return this.#kmsg ??= this.#readKmsg();
  }

  #config(): string | undefined {
    try {
      return gunzipSync(readFileSync(this.#at("/proc/config.gz"))).toString();
    } catch {
      return this.text(`/boot/config-${this.kernelRelease}`);
    }
  }

  #readKmsg(): LogRecord[] {
    const path = this.#at("/dev/kmsg");
    const records: LogRecord[] = [];
    const take = (text: string) => forEachRecord(text, (record) => records.push(record), () => {});
    if (existsSync(path) && statSync(path).isFile()) {
      take(readFileSync(path, "latin1"));
      return records;
    }
    const ring = openRing(path);
    for (let read = ring.next(); read.kind !== "empty"; read = ring.next()) {
      if (read.kind === "record") take(read.text);
    }
    ring.close();
    return records;
  }

  #resolve(path: string): string {
    const full = this.#at(path);
    let there = full;
    while (!existsSync(there) && there !== dirname(there)) there = dirname(there);
    const below = relative(realpathSync(this.root), realpathSync(there));
    return join("/", below, relative(there, full));
  }

  #at(path: string): string {
    return join(this.root, path);
  }
}

/** As the kernel reads sizes: decimal or hexadecimal, with K, M or G. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit] = /^(0x[\da-f]+|\d+)([kmg]?)/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  return Number(digits) * 1024 ** ["", "k", "m", "g"].indexOf(unit!.toLowerCase());
}
