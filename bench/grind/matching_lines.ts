/** Lines of a corpus, and how many events the rules make of those that were taken. */
import type { Matcher } from "../../grinder/match.ts";
import type { Line } from "./corpus.ts";

export class MatchingLines {
  /** Of all lines that were taken so far. */
  events = 0;
  /** The same lines come again and again. */
  readonly #eventsOf = new Map<Line, number>();

  constructor(private readonly source: () => Line, private readonly matcher: Matcher) {}

  next = (): Line => {
    const line = this.source();
    this.events += this.#eventsOf.get(line) ?? this.#match(line);
    return line;
  };

  #match(line: Line): number {
    const record = { ...line, seq: 0, usec: 0, flag: "-", fields: "" };
    const events = this.matcher.match(record).length;
    this.#eventsOf.set(line, events);
    return events;
  }
}
