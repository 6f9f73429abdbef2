/**
 * The writer of a replay, a process of its own: makes frames of log text ahead of time, as a busy receiver
 * would store them, then commits them to a live epoch at the pace at which that text would have come.
 * Prints JSON lines: `prepared`, one `frame` for each commit, `done`.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import process from "node:process";
import { loadRules } from "../../grinder/load_rules.ts";
import { LiteralMatcher } from "../../grinder/match.ts";
import { limits } from "../../shared/limits.ts";
import { programOptions } from "../../shared/options.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { epochFolder, readCommitted } from "../../shared/storage/folder_files.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { fleetLines } from "./corpus.ts";
import { DeviceBlocks } from "./device_blocks.ts";
import { MatchingLines } from "./matching_lines.ts";

const { values } = programOptions("Usage: bun bench/grind/replay_part.ts [OPTIONS]", {
  folder: {
    type: "text",
    unit: "folder",
    default: ".",
    help: "has data/, and room for the frames",
  },
  rules: { type: "text", unit: "file", default: "./rules.ts", help: "whose events are counted" },
  seconds: { type: "number", unit: "s", default: 60, help: "of traffic" },
  rate: { type: "number", unit: "MB/s", default: 80, help: "of text" },
  devices: { type: "number", unit: "devices", default: 100_000, help: "that send it" },
  matching: { type: "number", unit: "%", default: 1.1, help: "lines that match a rule" },
}, process.argv.slice(2));

interface Frame {
  bytes: number;
  /** Of all text up to its end. */
  textEnd: number;
}

/** What has come by then: a frame is what arrives while a commit waits for company. */
const rate = values.rate * 1e6;
const frameTextBytes = Math.min(rate * limits.companyMs / 1000, limits.frameTextBytesMax - 8_192);
/** Text that is made to see how long all of it will take, */
const trialShare = 0.02;
/** ... which may yet be held up. */
const slowness = 1.3;
const spareMs = 1_000;

const matcher = new LiteralMatcher(await loadRules(values.rules));
const path = join(values.folder, "frames");
const allBytes = rate * values.seconds;

const tell = (event: string, more: object = {}) =>
  process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const random = seededRandom(20261122);
const lines = new MatchingLines(fleetLines(random, matcher, values.matching / 100), matcher);
const plannedMs = planned();
const eventsBefore = lines.events;
const { frames, records } = prepare(plannedMs, newBlocks(plannedMs), allBytes);
tell("prepared", {
  frames: frames.length,
  textBytes: frames.at(-1)!.textEnd,
  storedBytes: frames.reduce((sum, { bytes }) => sum + bytes, 0),
  events: lines.events - eventsBefore,
  records,
});
if (Date.now() < plannedMs) await sleep(plannedMs - Date.now());
await replay(Date.now() - plannedMs);

/** When all will be prepared. */
function planned(): number {
  const blocks = newBlocks(Date.now());
  // The first time it isn't compiled yet, and all lines are new.
  prepare(Date.now(), blocks, allBytes * trialShare);
  const beginMs = performance.now();
  prepare(Date.now(), blocks, allBytes * trialShare);
  const takesMs = (performance.now() - beginMs) / trialShare;
  return Date.now() + takesMs * slowness + spareMs;
}

function newBlocks(startMs: number): DeviceBlocks {
  const { devices } = values;
  const bootUs = Math.round(startMs * 1000) - 3600e6;
  return new DeviceBlocks({ devices, blockBytes: 2_500, bootUs, random, nextLine: lines.next });
}

/** Frames with the receive times that they will have, into the file. */
function prepare(startMs: number, blocks: DeviceBlocks, textBytes: number) {
  const file = openSync(path, "w");
  const frames: Frame[] = [];
  for (let textEnd = 0; textEnd < textBytes;) {
    const texts: string[] = [];
    for (const frameEnd = textEnd + frameTextBytes; textEnd < frameEnd;) {
      texts.push(blocks.next(Math.round(startMs * 1000 + textEnd / rate * 1e6)));
      textEnd += texts.at(-1)!.length;
    }
    const bytes = compressFrame(Buffer.from(texts.join(""), "latin1"));
    writeSync(file, bytes);
    frames.push({ bytes: bytes.length, textEnd });
  }
  closeSync(file);
  return { frames, records: blocks.records };
}

/** Each frame when the last of its text would have come. `lateMs`: all of them so much later. */
async function replay(lateMs: number): Promise<void> {
  const data = join(values.folder, "data");
  const epoch = await new FolderStorage(data).createEpoch("replay");
  const file = openSync(path, "r");
  tell("started", { lateMs: Math.max(0, lateMs), epoch: `${epoch.receiver}/${epoch.epoch}` });
  const startMs = performance.now();
  for (const { bytes, textEnd } of frames) {
    const frame = new Uint8Array(bytes);
    readSync(file, frame);
    const waitMs = startMs + textEnd / rate * 1000 - performance.now();
    if (waitMs > 0.5) await sleep(waitMs);
    await epoch.commit([frame]);
    const { segment, length } = readCommitted(epochFolder(data, epoch))!;
    tell("frame", { segment, offset: length - bytes, textEnd });
  }
  tell("done", { seconds: (performance.now() - startMs) / 1000 });
  closeSync(file);
  await epoch.close();
}
