/** What a run came to, as text; and a failing case made as simple as it still fails. */
import { Buffer } from "node:buffer";
import { type Changes, drawCase } from "./cases.ts";
import { fuzz, type FuzzReport } from "./fuzz.ts";
import { theWorld } from "./senders.ts";

const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;

export function reportText(report: FuzzReport, seconds: number): string {
  const { cases, failures, storedBytes, rssMaxBytes, rssWarmBytes, rssEndBytes } = report;
  const rows = [...report.outcomes].sort(([a], [b]) => a < b ? -1 : 1).map(([name, counts]) => {
    const parts = [...counts].sort(([, a], [, b]) => b - a);
    return `${name.padEnd(52)} ${parts.map(([outcome, n]) => `${outcome}: ${n}`).join(", ")}`;
  });
  const perSec = Math.round(cases / seconds);
  return [
    ...rows,
    "",
    `${cases} cases in ${seconds.toFixed(0)} s (${perSec}/s), ${failures.length} failures`,
    `${mib(storedBytes)} of text stored and read again`,
    `RSS: ${mib(rssWarmBytes)} when warm, ${mib(rssMaxBytes)} at most, ${
      mib(rssEndBytes)
    } at the end`,
  ].join("\n");
}

/** The simplest form of a case that fails, in words; undefined if it doesn't fail alone. */
export async function shrink(
  seed: number,
  number: number,
  folder: string,
): Promise<string | undefined> {
  let best: Changes = {};
  let complaint = await complaintOf(best);
  if (!complaint) return undefined;
  const world = await theWorld();
  const names = [...drawCase(seed, number, world).upload.mutations];
  const simplerOnes = [
    (s: Changes) => ({ ...s, oneChunk: true }),
    ...names.map((name) => (s: Changes) => ({ ...s, without: [...s.without ?? [], name] })),
  ];
  for (const simplify of simplerOnes) {
    const found = await complaintOf(simplify(best));
    if (found) [best, complaint] = [simplify(best), found];
  }
  return `  ${complaint}\n${describeCase(drawCase(seed, number, world, best))}`;

  async function complaintOf(changes: Changes): Promise<string | undefined> {
    const report = await fuzz({ seed, from: number, to: number + 1, folder, changes });
    return report.failures[0]?.complaint;
  }
}

function describeCase({ upload, chunks }: ReturnType<typeof drawCase>): string {
  const body = Buffer.concat(chunks);
  const short = (text: string) =>
    text.length > 300 ? `${text.slice(0, 300)}... (${text.length})` : text;
  return [
    `mutations: ${upload.mutations.join(" + ") || "none"}`,
    `${upload.method} ${short(upload.path)}, ends with ${upload.ending}`,
    ...upload.headers.slice(0, 20).map(([name, value]) =>
      `${name}: ${short(JSON.stringify(value))}`
    ),
    `${chunks.length} chunks of ${short(chunks.map(({ length }) => length).join(", "))} bytes`,
    `body: ${short(body.toString("hex"))}`,
  ].map((line) => `    ${line}`).join("\n");
}
