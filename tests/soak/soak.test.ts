/** The soak in its short form: `bun run soak --minutes 10` is the long one. LOGMILL_SOAK_SEED tries another. */
import process from "node:process";
import { afterAll, expect, test } from "bun:test";
import { TemporaryFolder } from "../fixtures.ts";
import { killAll } from "../programs.ts";
import { formatReport } from "./report.ts";
import { soak } from "./soak.ts";

afterAll(killAll);

test(
  "archive, grind, retention and kill -9 together lose and double nothing",
  async () => {
    using folder = new TemporaryFolder();
    const report = await soak({
      folder: folder.path,
      seconds: 25,
      seed: Number(process.env["LOGMILL_SOAK_SEED"] ?? 7),
      devices: 15,
      bytesPerSecond: 3_000,
      awaySeconds: 0,
      say: () => {},
    });
    console.log(formatReport(report));
    expect(report.problems).toEqual([]);
    const { kills, archive, proof, reads, queries } = report;
    expect(Object.values(kills).reduce((a, b) => a + b)).toBeGreaterThan(5);
    expect(archive.records).toBeGreaterThan(1_000);
    expect(archive.merges).toBeGreaterThan(0);
    expect(Math.min(reads, queries)).toBeGreaterThan(0);
    expect(proof.events).toBeGreaterThan(100);
    expect(proof.records).toBeGreaterThanOrEqual(proof.acked);
  },
  300_000,
);
