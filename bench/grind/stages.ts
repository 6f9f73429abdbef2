/**
 * What each step of grinding costs, all of them one after the other in one thread:
 *
 *     deno run -A bench/grind/stages.ts DATA RULES [MB]
 *
 * DATA is a storage's folder, RULES a rules file, and MB how much text is taken (default: all). CPU seconds
 * for each GB of text, and beside them as multiples of what decoding takes: where other programs run on
 * the machine both grow, and the quotient says more. Deno, since Bun's decoder is another one.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { builtInEvents } from "../../grinder/built_in.ts";
import { Digester } from "../../grinder/engine/digester.ts";
import { FrameDecoder } from "../../grinder/engine/frame_decoder.ts";
import { DigestWriter, unpackDigest } from "../../grinder/engine/packed_digest.ts";
import { Grind } from "../../grinder/grind.ts";
import { loadRules } from "../../grinder/load_rules.ts";
import { LiteralMatcher } from "../../grinder/match.ts";
import { withEndRules } from "../../grinder/reboots.ts";
import { paddingBytes } from "../../grinder/sieve/frame_matcher.ts";
import { State } from "../../grinder/state.ts";
import { limits } from "../../shared/limits.ts";
import { readFrames } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";

const [data, rulesPath, mb = "Infinity"] = process.argv.slice(2);
if (!data || !rulesPath) {
  console.error("Usage: deno run -A bench/grind/stages.ts DATA RULES [MB]");
  process.exit(2);
}
const rules = withEndRules(await loadRules(rulesPath));
const out = mkdtempSync(join(tmpdir(), "logmill-stages-"));
process.once("exit", () => rmSync(out, { recursive: true, force: true }));
const state = State.open(out, Date.now(), console.error);
const grind = new Grind({
  state,
  out,
  matcher: new LiteralMatcher(rules),
  windowUs: 60e6,
  builtIn: builtInEvents(),
  labelsOf: () => ({}),
  warn: console.error,
});
const decoder = new FrameDecoder(paddingBytes);
const digester = new Digester(rules);
const digest = new DigestWriter();

const seconds = { read: 0, decode: 0, digest: 0, take: 0, commit: 0 };
let lastUs = cpuUs();
let textBytes = 0;
for await (const read of readFrames(new FolderStorage(data), grind.cursors)) {
  const { frame } = read;
  if (!frame) continue;
  spent("read");
  const text = decoder.decode(frame)!;
  spent("decode");
  digester.digest(text, frame.textBytes, digest);
  spent("digest");
  const numbers = digest.numbers.subarray(0, digest.length);
  const bytes = digest.bytes.subarray(0, digest.byteLength);
  grind.takeDigest(read, unpackDigest(numbers, bytes, rules), () => text.toString("latin1"));
  spent("take");
  if (grind.pendingBytes >= limits.batchTextBytesMax) {
    grind.commit(Date.now());
    spent("commit");
  }
  textBytes += frame.textBytes;
  if (textBytes >= Number(mb) * 1e6) break;
}
grind.commit(Date.now(), "end");
spent("commit");
state.close();

console.log(`${rules.length} rules, ${(textBytes / 1e6).toFixed(0)} MB of text`);
console.log("step    CPU s/GB  of decoding");
for (const [step, all] of Object.entries(seconds)) {
  const perGb = (all / textBytes * 1e9).toFixed(2);
  console.log(
    `${step.padEnd(8)}${perGb.padStart(8)}${(all / seconds.decode).toFixed(2).padStart(13)}`,
  );
}

/** What has passed since the last call went into this step. */
function spent(step: keyof typeof seconds): void {
  const nowUs = cpuUs();
  seconds[step] += (nowUs - lastUs) / 1e6;
  lastUs = nowUs;
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
