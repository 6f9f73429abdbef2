/** Rules in, what finds them out: a matcher for single records, and threads for frames; others take their place. */
import { Engine } from "./engine/engine.ts";
import { refuseSlowRules, slowRules } from "./load_rules.ts";
import { LiteralMatcher } from "./match.ts";
import type { Rule } from "./rule.ts";

export interface RulesInUseOptions {
  /** The file they are from, for threads. */
  rules: string;
  /** Threads beside the main one. */
  workers: number;
  /** Refuses rules that must look at every record. */
  strict: boolean;
}

export class RulesInUse implements AsyncDisposable {
  #rules: readonly Rule[];
  #matcher: LiteralMatcher;
  #engine: Engine | undefined;

  /** Throws `RulesError` with `strict`. */
  constructor(
    rules: readonly Rule[],
    private readonly options: RulesInUseOptions,
    private readonly say: (text: string) => void,
  ) {
    this.#rules = rules;
    this.#matcher = this.#matcherOf(rules);
  }

  get rules(): readonly Rule[] {
    return this.#rules;
  }

  get matcher(): LiteralMatcher {
    return this.#matcher;
  }

  /** Made when it is needed: what grinds the archive has threads of its own. */
  get engine(): Engine {
    return this.#engine ??= new Engine({
      rules: this.#rules,
      rulesPath: this.options.rules,
      threads: this.options.workers,
      warn: this.say,
    });
  }

  /** From now on by these. Throws as the constructor. */
  async change(rules: readonly Rule[]): Promise<void> {
    this.#matcher = this.#matcherOf(rules);
    this.#rules = rules;
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine?.[Symbol.asyncDispose]();
    this.#engine = undefined;
  }

  #matcherOf(rules: readonly Rule[]): LiteralMatcher {
    const matcher = new LiteralMatcher(rules);
    if (this.options.strict) refuseSlowRules(this.options.rules, rules, matcher.plans);
    for (const slow of slowRules(rules, matcher.plans)) this.say(slow);
    return matcher;
  }
}
