/**
 * Those who read while all of it runs: what was acknowledged when they began must be there, wherever it is
 * by now, and nothing twice.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { IntervalSet } from "../../shared/intervals.ts";
import type { JournalStream } from "../fleet/journal.ts";
import { outputOf } from "./programs.ts";
import { scaledLimits } from "./scaled_tree.ts";
import { StreamSums } from "./stream_sums.ts";

const everyMs = 3_000;

export const countQuery =
  "select count(*) as n, count(distinct (device, source, stream, seq)) as d from records";

export class Watchers {
  reads = 0;
  queries = 0;
  readonly problems: string[] = [];

  constructor(
    private readonly data: string,
    private readonly tree: string,
    private readonly journal: readonly JournalStream[],
  ) {}

  async run(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      for (const watch of [() => this.#read(), () => this.#query()]) {
        await sleep(everyMs);
        const beganMs = performance.now();
        await watch().catch((error: Error) => {
          // Who takes longer than that may find files gone.
          const isLate = performance.now() - beganMs > scaledLimits.archiveGraceMs;
          if (!isLate) this.problems.push(error.message);
        });
      }
    }
  }

  async #read(): Promise<void> {
    const acked = this.journal.map((entry) => ({
      key: `${entry.device} ${entry.source} ${entry.stream}`,
      seqs: IntervalSet.decode(entry.acked.encode()),
    }));
    const sums = StreamSums.parse(await outputOf(this.tree, "tests/soak/reader.ts", [this.data]));
    this.reads++;
    for (const { key, seqs } of acked) {
      const missing = seqs.subtract(sums.stream(key).seqs);
      if (missing.count === 0) continue;
      this.problems.push(
        `read ${this.reads}: acknowledged and not there: ${key} ${missing.encode()}`,
      );
    }
  }

  async #query(): Promise<void> {
    const args = [countQuery, "--data", this.data, "--json", "--memory", "128"];
    const { n, d } = JSON.parse(await outputOf(this.tree, "grinder/sql/main.ts", args));
    this.queries++;
    if (n !== d) {
      this.problems.push(`query ${this.queries}: ${n} records, of which ${d} are others`);
    }
  }
}
