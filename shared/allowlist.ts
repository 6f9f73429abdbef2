/**
 * The list of devices that are let in, as its place had it when `reload` last found it whole: a key's
 * thumbprint goes in, the device comes out.
 */
import {
  type Device,
  Devices,
  type ParsedList,
  parseInSlices,
  type Slices,
} from "./allowlist_format.ts";
import type { ListPlace } from "./allowlist_place.ts";

export type { Device } from "./allowlist_format.ts";

export class AllowList {
  #devices = new Devices();
  /** Of the text as it was taken, or as it was found to be wrong. */
  #stamp: string | undefined;
  #stampProblem: string | undefined;
  /** Of a text that looked gone or empty at the last look. */
  #doubtedStamp: string | undefined;
  #reloading: Promise<boolean> | undefined;
  /** What is wrong with the list now, for the operator; the devices are the last good ones. */
  problem: string | undefined;

  private constructor(private readonly place: ListPlace, private readonly slices: Slices) {}

  /** A list that can't be read is empty and has a `problem`: it may be there at the next look. */
  static async open(place: ListPlace, slices: Slices = realSlices): Promise<AllowList> {
    const list = new AllowList(place, slices);
    await list.reload();
    return list;
  }

  has(thumbprint: string): boolean {
    return this.#devices.has(thumbprint);
  }

  get(thumbprint: string): Device | undefined {
    return this.#devices.get(thumbprint);
  }

  get size(): number {
    return this.#devices.size;
  }

  devices(): Iterable<Device> {
    return this.#devices.values();
  }

  /**
   * Looks at the place and takes the list if it changed; resolves to whether it did. The caller
   * polls. A missing list is an empty one. One that can't be read or was cut off changes nothing but
   * `problem`. Editors leave a file gone or empty for a moment while they save; so that nobody is
   * cut off by that, a list is emptied only when it is found so twice running.
   */
  reload(): Promise<boolean> {
    // A look may take longer than the caller's interval: one at a time, or an old one could win.
    this.#reloading ??= this.#reload().finally(() => this.#reloading = undefined);
    return this.#reloading;
  }

  async #reload(): Promise<boolean> {
    try {
      const listed = await this.place.read(this.#stamp);
      if (listed === undefined) return this.#unchanged();
      if (this.#isDoubtful(listed.text, listed.stamp)) return false;
      return await this.#take(listed.text, listed.stamp);
    } catch (error) {
      this.problem = `Cannot read allow-list because ${this.place.name} must be readable: ` +
        `current value is ${(error as Error).message}`;
      return false;
    }
  }

  #unchanged(): false {
    this.#doubtedStamp = undefined;
    this.problem = this.#stampProblem;
    return false;
  }

  #isDoubtful(text: string, stamp: string): boolean {
    const isDoubtful = text === "" && this.#devices.size > 0 && stamp !== this.#doubtedStamp;
    this.#doubtedStamp = text === "" ? stamp : undefined;
    if (isDoubtful) {
      this.problem =
        `Cannot take allow-list because ${this.place.name} must hold devices, or be empty ` +
        "at two looks running: current value is empty at one";
    }
    return isDoubtful;
  }

  async #take(text: string, stamp: string): Promise<boolean> {
    const isTorn = text !== "" && !text.endsWith("\n");
    // At start there is no older list to keep: take the whole lines, not the cut one.
    const isTaken = !isTorn || this.#stamp === undefined;
    const { devices, problems }: ParsedList = isTaken
      ? await parseInSlices(text.slice(0, text.lastIndexOf("\n") + 1), this.slices)
      : { devices: this.#devices, problems: [] };
    this.#devices = devices;
    this.#stamp = stamp;
    this.#stampProblem = isTorn
      ? tornProblem(this.place.name)
      : lineProblem(this.place.name, problems);
    this.problem = this.#stampProblem;
    return isTaken;
  }
}

const realSlices: Slices = {
  nowMs: () => performance.now(),
  // Behind what the event loop has ready, so that open streams have their turn.
  pause: () => new Promise((resolve) => setImmediate(resolve)),
};

function tornProblem(name: string): string {
  return `Cannot take allow-list because ${name} must end in a newline: ` +
    "current value ends within a line, as if cut off";
}

function lineProblem(name: string, problems: string[]): string | undefined {
  return problems.length > 0 ? `${name}: ${problems.join("; ")}` : undefined;
}
