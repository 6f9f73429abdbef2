/** The aggregates of the last days in the state: what the open windows and late records need. */
import type { Aggregate, AggregateKey, AggregateStore } from "./aggregates.ts";
import { Sketch } from "./sketch.ts";
import type { Row, StateFile, Value } from "./state_file.ts";

const same = "start_us = ? AND window_us = ? AND rule = ? AND labels = ?";

export class SqlAggregateStore implements AggregateStore {
  /** Asked for with each event. */
  #keptFromUs: number;

  constructor(private readonly file: StateFile) {
    this.#keptFromUs = file.markUs("kept_from_us");
  }

  load(key: AggregateKey): Aggregate | undefined {
    const [row] = this.file.all(`SELECT * FROM aggregates WHERE ${same}`, ...keyValues(key));
    return row && toAggregate(row);
  }

  due(clockUs: number): Aggregate[] {
    return this.file.all("SELECT * FROM aggregates WHERE due_us <= ?", clockUs).map(toAggregate);
  }

  labelSets({ startUs, windowUs, rule }: Omit<AggregateKey, "labels">): number {
    const sql =
      "SELECT count(*) AS n FROM aggregates WHERE start_us = ? AND window_us = ? AND rule = ?";
    return this.file.all(sql, startUs, windowUs, rule)[0]!["n"] as number;
  }

  devices(key: AggregateKey): string[] {
    const sql = `SELECT devices FROM aggregate_devices WHERE ${same}`;
    return this.file.all(sql, ...keyValues(key))
      .flatMap((row) => (row["devices"] as string).split(" "));
  }

  keptFromUs(): number {
    return this.#keptFromUs;
  }

  save(a: Aggregate, newDevices: readonly string[]): void {
    const key = keyValues(a);
    this.file.run(
      "INSERT OR REPLACE INTO aggregates VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      ...key,
      a.count,
      a.devices,
      a.firstUs,
      a.lastUs,
      a.sketch ? JSON.stringify(a.sketch) : null,
      a.rev,
      a.dueUs ?? null,
    );
    if (newDevices.length === 0) return;
    // Names have no spaces. One row for each batch: most events are of a device that is new to them.
    const sql = "INSERT INTO aggregate_devices VALUES(?, ?, ?, ?, ?)";
    this.file.run(sql, ...key, newDevices.join(" "));
  }

  /** Lets go of the windows that begin before `startUs`, for good; of open ones once they are closed. */
  keepFrom(startUs: number): void {
    if (startUs <= this.#keptFromUs) return;
    this.#keptFromUs = startUs;
    this.file.saveMark("kept_from_us", startUs);
    this.file.run("DELETE FROM aggregate_devices WHERE start_us < ?", startUs);
    this.file.run("DELETE FROM aggregates WHERE start_us < ? AND due_us IS NULL", startUs);
  }
}

function keyValues(key: AggregateKey): Value[] {
  return [key.startUs, key.windowUs, key.rule, key.labels];
}

function toAggregate(row: Row): Aggregate {
  const sketch = row["sketch"] as string | null;
  return {
    startUs: row["start_us"] as number,
    windowUs: row["window_us"] as number,
    rule: row["rule"] as string,
    labels: row["labels"] as string,
    count: row["count"] as number,
    devices: row["devices"] as number,
    firstUs: row["first_us"] as number,
    lastUs: row["last_us"] as number,
    sketch: sketch === null ? undefined : Sketch.fromJSON(JSON.parse(sketch)),
    rev: row["rev"] as number,
    dueUs: (row["due_us"] as number | null) ?? undefined,
  };
}
