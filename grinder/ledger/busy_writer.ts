/**
 * A process that writes into a state as the grinder does, as fast as it can, with a log that begins anew
 * all the time: `bun busy_writer.ts FOLDER`. In each transaction the same number goes into all rows.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { StateFile } from "../state_file.ts";

const file = StateFile.open(process.argv[2]!, 0, () => {});
file.all(`PRAGMA wal_autocheckpoint = ${process.argv[3] ?? 8}`);
const rows = 400;
const padding = "x".repeat(500);
for (let round = 1;; round++) {
  file.transaction(() => {
    for (let i = 0; i < rows; i++) {
      file.run("INSERT OR REPLACE INTO cursors VALUES(?, ?, ?)", `${padding}${i}`, round, 0);
    }
  });
  if (round === 1) writeSync(1, "writing\n");
}
