/** What runs in each of a search's other threads: claims frames and searches them, to the end. */
import { workerData } from "node:worker_threads";
import { FrameRing } from "../engine/ring.ts";
import { FrameSearcher, type Wanted } from "./frame_searcher.ts";

export interface ThreadData {
  memory: SharedArrayBuffer;
  wanted: Wanted;
}

const { memory, wanted } = workerData as ThreadData;
const ring = new FrameRing(memory);
const searcher = new FrameSearcher(wanted);
for (let slot; (slot = ring.claimNext()) !== undefined;) searcher.serve(ring, slot);
