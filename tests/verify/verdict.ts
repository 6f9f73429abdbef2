/** What verify found, as plain data and as a short table for people. */

export interface StreamVerdict {
  device: string;
  boot: string;
  source: string;
  stream: string;
  /** Distinct records stored. */
  records: number;
  /** Records stored more than once: normal. */
  resent: number;
  /** First arrivals behind one with a higher seq: normal with several receivers. */
  reordered: number;
  /** Records that aren't stored, and of which a gap record says so. */
  explained: number;
  /** Acknowledged and not stored. */
  lost: number;
  /** Between the lowest and the highest seq, neither stored nor explained. */
  holes: number;
  missingEvents: number;
  duplicateEvents: number;
  /** No record and rule would make them. */
  unexpectedEvents: number;
  /** Of the right record and rule, but they say something else. */
  wrongEvents: number;
}

type StreamCounts = Omit<StreamVerdict, "device" | "boot" | "source" | "stream">;

export interface Totals extends StreamCounts {
  events: number;
  /** Their true time, by the journal, is farther off than they say. */
  mistimedEvents: number;
  /** Distinct (window, rule, labels). */
  aggregates: number;
  duplicateAggregates: number;
  /** Events too many or too few in the aggregates, over all windows and rules. */
  aggregateMismatch: number;
  /** Lines of the outputs that can't be read. */
  badOutputLines: number;
  /** Stretches of segments that can't be read. */
  damaged: number;
  /** Stored text that is no record. */
  badLines: number;
}

export interface Verdict {
  /** Nothing was lost without a word, and nothing was counted twice. */
  ok: boolean;
  totals: Totals;
  streams: StreamVerdict[];
  /** The first problems, in words. */
  examples: string[];
}

const faults = [
  "lost",
  "holes",
  "missingEvents",
  "duplicateEvents",
  "unexpectedEvents",
  "wrongEvents",
  "duplicateAggregates",
  "aggregateMismatch",
  "badOutputLines",
] as const;

const streamFaults = faults.slice(0, 6) as Array<keyof StreamCounts>;
const streamsNamed = 10;

export function isOk(totals: Totals): boolean {
  return faults.every((fault) => totals[fault] === 0);
}

export function emptyStream(
  { device, boot, source, stream }: Pick<StreamVerdict, "device" | "boot" | "source" | "stream">,
): StreamVerdict {
  return { device, boot, source, stream, ...emptyCounts() };
}

export function emptyTotals(): Totals {
  return {
    ...emptyCounts(),
    ...{ events: 0, mistimedEvents: 0 },
    ...{ aggregates: 0, duplicateAggregates: 0, aggregateMismatch: 0 },
    ...{ badOutputLines: 0, damaged: 0, badLines: 0 },
  };
}

function emptyCounts(): StreamCounts {
  return {
    ...{ records: 0, resent: 0, reordered: 0, explained: 0, lost: 0, holes: 0 },
    ...{ missingEvents: 0, duplicateEvents: 0, unexpectedEvents: 0, wrongEvents: 0 },
  };
}

/** A few lines; where something is wrong, the worst streams and some examples below. */
export function formatVerdict({ ok, totals: t, streams, examples }: Verdict): string {
  const lines = [
    `records     ${t.records} of ${streams.length} streams; ${t.resent} resent, ${t.reordered} reordered`,
    `missing     ${t.lost} lost, ${t.holes} unexplained holes, ${t.explained} explained by gaps`,
    `events      ${t.events}; ${t.missingEvents} missing, ${t.duplicateEvents} duplicate, ` +
    `${t.unexpectedEvents} unexpected, ${t.wrongEvents} wrong, ${t.mistimedEvents} mistimed`,
    `aggregates  ${t.aggregates}; ${t.duplicateAggregates} duplicate, ${t.aggregateMismatch} miscounted`,
  ];
  const unreadable = [t.damaged, t.badLines, t.badOutputLines];
  if (unreadable.some((count) => count > 0)) {
    const [damaged, badLines, badOutputLines] = unreadable;
    lines.push(
      `unreadable  ${damaged} stretches of segments, ${badLines} records, ${badOutputLines} output lines`,
    );
  }
  const badness = (stream: StreamVerdict) =>
    streamFaults.reduce((sum, fault) => sum + stream[fault], 0);
  const bad = streams.filter((stream) => badness(stream) > 0)
    .sort((a, b) => badness(b) - badness(a));
  for (const stream of bad.slice(0, streamsNamed)) lines.push(`  ${formatStream(stream)}`);
  if (bad.length > streamsNamed) lines.push(`  and ${bad.length - streamsNamed} streams more`);
  for (const example of examples) lines.push(`  ${example}`);
  lines.push(ok ? "verdict     ok" : "verdict     NOT OK");
  return lines.join("\n");
}

function formatStream(stream: StreamVerdict): string {
  const { device, boot, source, records } = stream;
  const counts = streamFaults.filter((fault) => stream[fault] > 0)
    .map((fault) => `${stream[fault]} ${fault}`);
  return `${device} ${source} of boot ${boot}: ${records} records, ${counts.join(", ")}`;
}
