/** The verifier as a program: exit status 1 if anything is lost or counted twice. */
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { formatVerdict, verify } from "./verify.ts";

const { values } = programOptions(
  `
Usage: bun run verify [OPTIONS]     check a storage and a grinder's outputs, record by record
Exit status 1 if anything is lost or counted twice.`,
  {
    data: { type: "text", unit: "folder", default: "./data", help: "where the segments are" },
    out: { type: "text", unit: "folder", help: "the grinder's outputs (default: --data)" },
    journal: { type: "text", unit: "file", help: "what a fleet knows to be acknowledged" },
    rules: { type: "text", unit: "file", default: "./rules.ts", help: "the grinder's rules" },
    "no-events": { type: "flag", unit: "", help: "look at the storage only" },
    json: { type: "flag", unit: "", help: "print the totals as JSON" },
  },
  process.argv.slice(2),
);
const { data, out, journal } = values;
const rules = values["no-events"] ? undefined : values.rules;
const verdict = await verify({ data, out, journal, rules });
console.log(
  values.json ? JSON.stringify({ ok: verdict.ok, ...verdict.totals }) : formatVerdict(verdict),
);
process.exit(verdict.ok ? 0 : 1);
