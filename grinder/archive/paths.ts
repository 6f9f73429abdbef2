/**
 * What the archive's files are called. RUN begins with the time of its start: so garbage has an age.
 *
 *     archive/day=YYYY-MM-DD/part=NNNN/HH-RUN.parquet       an hour's; a day's has `day` in the place of HH
 *     archive/seen/part=NNNN/RUN.zst                        seen_file.ts
 *     archive/manifests/NNNNNNNN.json                       manifest.ts
 */

interface Named {
  partition: number;
  run: string;
}

export function filePath({ slot, partition, run }: Named & { slot: string }): string {
  const hour = slot.slice(11) || "day";
  return `archive/day=${slot.slice(0, 10)}/part=${padded(partition)}/${hour}-${run}.parquet`;
}

export function seenPath({ partition, run }: Named): string {
  return `archive/seen/part=${padded(partition)}/${run}.zst`;
}

/** A run's name for its nth file of one partition and hour, which has the run's age. */
export function nthRun(run: string, n: number): string {
  const random = (parseInt(run.slice(-8), 16) + n) % 0x1_0000_0000;
  return run.slice(0, -8) + random.toString(16).padStart(8, "0");
}

/** When the run began that wrote a file; undefined for what isn't the archive's. */
export function writtenMs(path: string): number | undefined {
  const match =
    /^archive\/(?:day=[\d-]{10}|seen)\/part=\d{4}\/(?:(?:\d\d|day)-)?(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{3})Z-[0-9a-f]{8}\.(?:parquet|zst)$/
      .exec(path);
  if (!match) return undefined;
  const [year, month, ...rest] = match.slice(1).map(Number) as [number, number, number];
  return Date.UTC(year, month - 1, ...rest);
}

function padded(partition: number): string {
  return String(partition).padStart(4, "0");
}
