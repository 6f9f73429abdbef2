/**
 * The rules as their file has them, and what it sets for built-in events: loaded at start, and again
 * whenever the file changes.
 */
import { stat } from "node:fs/promises";
import type { BuiltIn } from "./built_in.ts";
import { loadBuiltIn, loadRules, RulesError } from "./load_rules.ts";
import type { Rule } from "./rule.ts";

/** What is in the file. */
export interface LoadedRules {
  rules: Rule[];
  builtIn: BuiltIn;
}

export class RulesFile {
  private constructor(
    private readonly path: string,
    readonly loaded: LoadedRules,
    private mtimeMs: number | undefined,
  ) {}

  /** Throws `RulesError`, which lists every problem. */
  static async open(path: string): Promise<RulesFile> {
    // Before the file is read: a change in between is then seen by the first `reload`.
    const mtimeMs = await mtimeOf(path);
    return new RulesFile(path, await load(path), mtimeMs);
  }

  /** The rules, if the file has changed; rules that don't load are reported, once, and change nothing. */
  async reload(report: (text: string) => void): Promise<LoadedRules | undefined> {
    const mtimeMs = await mtimeOf(this.path);
    if (mtimeMs === undefined || mtimeMs === this.mtimeMs) return undefined;
    this.mtimeMs = mtimeMs;
    try {
      const loaded = await load(this.path);
      report(`${this.path} read again: ${loaded.rules.length} rules`);
      return loaded;
    } catch (error) {
      if (!(error instanceof RulesError)) throw error;
      report(`${error.message}\nThe old rules stay.`);
      return undefined;
    }
  }
}

/** Undefined where there is no file: an editor may be saving it just now. */
async function mtimeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mtimeMs;
}

async function load(path: string): Promise<LoadedRules> {
  return { rules: await loadRules(path), builtIn: await loadBuiltIn(path) };
}
