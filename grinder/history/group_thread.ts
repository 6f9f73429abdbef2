/** What runs in each of the other threads that grind an archive: row groups in, their digests out. */
import { parentPort, workerData } from "node:worker_threads";
import { rulesMark, type ThreadData } from "../engine/thread_data.ts";
import { loadRules, RulesError } from "../load_rules.ts";
import { withEndRules } from "../reboots.ts";
import { type Rule, takeFailures } from "../rule.ts";
import { GroupDigester } from "./group_digester.ts";
import type { GroupTask, GroupWord } from "./group_threads.ts";

const { rulesPath, mark } = workerData as Pick<ThreadData, "rulesPath" | "mark">;
const rules = await sameRules();
if (rules) {
  const digester = new GroupDigester(rules);
  parentPort!.on("message", (task: GroupTask) => say(done(digester, rules, task)));
  say("ready");
}

function done(digester: GroupDigester, rules: readonly Rule[], task: GroupTask): GroupWord {
  const { id } = task;
  try {
    const parts = digester.digest(task);
    return { id, parts, failures: takeFailures(rules) };
  } catch (error) {
    return { id, why: (error as Error).message };
  }
}

function say(word: GroupWord): void {
  const parts = typeof word === "object" && "parts" in word ? word.parts : [];
  const buffers = parts.flatMap(({ numbers, bytes }) => [numbers.buffer, bytes.buffer]);
  parentPort!.postMessage(word, buffers as ArrayBuffer[]);
}

/** The rules that the others have; nothing, and the others are told, if they can't be had any more. */
async function sameRules(): Promise<readonly Rule[] | undefined> {
  try {
    const rules = withEndRules(await loadRules(rulesPath));
    if (rulesMark(rules) === mark) return rules;
    parentPort!.postMessage(`${rulesPath} has been changed`);
  } catch (error) {
    if (!(error instanceof RulesError)) throw error;
    parentPort!.postMessage(error.message);
  }
  parentPort!.close();
  return undefined;
}
