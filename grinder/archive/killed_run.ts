/** For tests: one run of the archiver, in a process that kills itself after a step. */
import process from "node:process";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { Archiver } from "./archiver.ts";
import { FolderPlace } from "./place_folder.ts";

const [data, scratch, step, nowMs] = process.argv.slice(2) as [string, string, string, string];
const clock = { nowMs: () => Number(nowMs) };
await new Archiver({
  storage: new FolderStorage(data, clock),
  place: new FolderPlace(data),
  scratch,
  partitions: 2,
  ...clock,
  random: Math.random,
  report: () => {},
  at: (at) => {
    if (at === step) process.kill(process.pid, "SIGKILL");
  },
}).run();
