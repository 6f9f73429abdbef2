/**
 * What DuckDB is asked to do: archive files to one that holds them all, and unsorted rows (bucket.ts) to a
 * file for a query. One thread, so that rows leave in the order in which they were sorted.
 */
import { columns, fileNote, streamColumns } from "./columns.ts";
import { type Duck, quoted } from "./duck.ts";

/** Of what lives for one query. */
const quickLevel = 1;
/**
 * Of what stays. It finds what stands 4 MiB back: where devices say the same, a quarter less than level 6,
 * in as much time.
 */
const smallLevel = 9;

/**
 * DELTA_LENGTH_BYTE_ARRAY for texts needs version 2. A dictionary of more values than this isn't worth the
 * search for one, which takes a fifth of the time.
 */
function formatAt(level: number): string {
  return `format parquet, parquet_version v2, compression zstd, compression_level ${level}, ` +
    "row_group_size 122880, dictionary_size_limit 2000, write_bloom_filter false, " +
    `kv_metadata {${fileNote.name}: '${fileNote.value}'}`;
}

/** A bucket's rows, beside a table of their streams (stream_table.ts), to one file. */
export async function sortRows(
  duck: Duck,
  { rows, shared, streams, out }: { rows: string; shared: string; streams: string; out: string },
): Promise<void> {
  const [sharedTable, streamsTable] = [shared, streams].map((path) =>
    `read_parquet(${quoted(path)})`
  );
  const names = streamColumns.map((name) => `s.${name}`).join(", ");
  const place = (part: number, type: string, name: string) =>
    `case when place <> '' then split_part(place, ' ', ${part})${type} end as ${name}`;
  const sorted = `
    select stream_id, seq, make_timestamp(started + usec) as time,
      make_timestamp(started) as started, make_timestamp(recv) as recv, prio, flag, text,
      nullif(fields, '') as fields, nullif(more, '') as more, nullif(prefix, '') as prefix,
      ${place(1, "", "receiver")}, ${place(2, "", "epoch")}, ${place(3, "::bigint", "segment")},
      ${place(4, "::bigint", "frame")}, ${place(5, "::bigint", "line")}
    from (
      select r.*, file_row_number as n, stream_id, started, recv, rank
      from read_parquet(${quoted(rows)}, file_row_number = true) r
        join (from ${sharedTable} a join ${streamsTable} b using (stream_id)) c using (shared))
    order by rank, place <> '', case when place = '' then seq else n end,
      flag not in ('g', 's'), n`;
  // Names are joined behind the sorting: moved along they make it half as fast.
  await duck.run(
    `copy (select ${names}, r.* exclude (stream_id) from (${sorted}) r
       join ${streamsTable} s using (stream_id))
     to ${quoted(out)} (${formatAt(quickLevel)})`,
  );
}

/** Archive files to one. */
export async function mergeFiles(
  duck: Duck,
  { files, out }: { files: readonly string[]; out: string },
): Promise<void> {
  const order = [
    ...streamColumns,
    "receiver is not null",
    "receiver",
    "epoch",
    "segment",
    "frame",
    "line",
    "seq",
    "flag not in ('g', 's')",
    "recv",
    "time",
    "fields",
    "text",
  ];
  await duck.run(
    `copy (select ${columns.join(", ")} from read_parquet([${files.map(quoted).join(", ")}])
       order by ${order.join(", ")})
     to ${quoted(out)} (${formatAt(smallLevel)})`,
  );
}
