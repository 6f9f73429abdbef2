/** What runs in each of the grinder's other threads: claims frames and digests them, to the end. */
import { parentPort, workerData } from "node:worker_threads";
import { importRules, RulesError } from "../load_rules.ts";
import { withEndRules } from "../reboots.ts";
import { type Rule, takeFailures } from "../rule.ts";
import { FrameDigester } from "./frame_digester.ts";
import { FrameRing } from "./ring.ts";
import { rulesMark, type ThreadData, type ThreadWord } from "./thread_data.ts";

const { memory, rulesPath, mark } = workerData as ThreadData;
const rules = await sameRules();
if (rules) {
  const ring = new FrameRing(memory);
  const digester = new FrameDigester(rules);
  for (let slot; (slot = ring.claimNext()) !== undefined;) digester.serve(ring, slot);
  say(takeFailures(rules));
}

function say(word: ThreadWord): void {
  parentPort!.postMessage(word);
}

/** The rules that the others have; nothing, and the others are told, if they can't be had any more. */
async function sameRules(): Promise<readonly Rule[] | undefined> {
  try {
    // Checking them takes as long as all else that a thread begins with.
    const rules = withEndRules(await importRules(rulesPath));
    if (rulesMark(rules) === mark) return rules;
    say(`${rulesPath} has been changed`);
  } catch (error) {
    if (!(error instanceof RulesError)) throw error;
    say(error.message);
  }
  return undefined;
}
