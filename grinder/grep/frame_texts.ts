/** Frames that were searched in, their texts out once more: for what stands around a match. */
import type { Storage } from "../../shared/storage/storage.ts";
import { decompressFrame, walkFrame } from "../../shared/zstd.ts";
import type { Task } from "./tasks.ts";

/** A task without its frame, which may be kept for long. */
export type FramePlace = Pick<Task, "segment" | "offset" | "storedBytes">;

/** The newest texts are kept: of 1 MiB at most each. Picked from the air. */
const textsMax = 32;

export class FrameTexts {
  readonly #texts = new Map<string, string>();

  constructor(private readonly storage: Pick<Storage, "read">) {}

  /** The text of a task that is decoded already. */
  keep({ segment, offset }: FramePlace, text: string): void {
    this.#texts.set(`${segment}:${offset}`, text);
    if (this.#texts.size > textsMax) this.#texts.delete(this.#texts.keys().next().value!);
  }

  /** Empty if it can't be had any more. Throws `StorageError`. */
  async of(place: FramePlace): Promise<string> {
    const known = this.#texts.get(`${place.segment}:${place.offset}`);
    if (known !== undefined) return known;
    const text = await this.#read(place);
    this.keep(place, text);
    return text;
  }

  async #read({ segment, offset, storedBytes }: FramePlace): Promise<string> {
    const [receiver, epoch, number] = segment.split("/");
    // What comes out of the archive is in no segment.
    if (storedBytes === 0) return "";
    const at = { receiver: receiver!, epoch: epoch!, segment: Number(number) };
    const bytes = await this.storage.read(at, offset, storedBytes);
    const walk = walkFrame(bytes);
    if (walk.kind !== "frame") return "";
    return decompressFrame(bytes, walk.contentSize ?? 0).toString("latin1");
  }
}
