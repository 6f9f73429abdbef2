/** What runs in each of the other threads that index grams: claims frames, to the end. */
import { workerData } from "node:worker_threads";
import { FrameRing } from "../engine/ring.ts";
import { GramScanner } from "./gram_scanner.ts";

const { memory } = workerData as { memory: SharedArrayBuffer };
const ring = new FrameRing(memory);
const scanner = new GramScanner();
for (let slot; (slot = ring.claimNext()) !== undefined;) scanner.serve(ring, slot);
