/** What a soak was, for people and as one line of JSON. */
import type { SoakReport } from "./soak.ts";

const problemChars = 2_000;

export function formatReport(report: SoakReport): string {
  const { seed, seconds, kills, segments, archive, reads, queries, proof, problems } = report;
  const each = Object.entries(kills).map(([name, count]) => `${name} ${count}`).join(", ");
  const rows: Array<[string, string]> = [
    ["time", `${seconds} s, seed ${seed}`],
    ["kill -9", each],
    ["records", `${proof.written} written, ${proof.acked} acknowledged, ${proof.records} stored`],
    ["streams", `${proof.streams}`],
    ["segments", `${segments}`],
    [
      "archiver",
      `${archive.rounds} rounds, ${archive.segments} segments and ${archive.records} records archived, ` +
      `${archive.merges} merges, ${archive.deletedSegments} hot segments deleted`,
    ],
    ["meanwhile", `all read ${reads} times, and by SQL ${queries} times`],
    ["events", `${proof.events}`],
    ["lost", `${proof.lost}`],
    ["doubled", `${proof.doubled}`],
  ];
  const lines = rows.map(([name, text]) => `${name.padEnd(10)} ${text}`);
  for (const text of problems) lines.push(`PROBLEM    ${text.slice(0, problemChars)}`);
  lines.push(`verdict    ${problems.length === 0 ? "ok" : "NOT OK"}`);
  return lines.join("\n");
}

export function summary({ seed, seconds, kills, archive, proof, problems }: SoakReport) {
  const { written, acked, records, events, lost, doubled } = proof;
  return {
    ...{ seconds, seed, kills, rounds: archive.rounds, merges: archive.merges },
    archived_segments: archive.segments,
    deleted_segments: archive.deletedSegments,
    ...{ written, acked, records, events, lost, doubled, problems: problems.length },
  };
}
