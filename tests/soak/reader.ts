/**
 * All that is stored, read as everything that looks at history reads it: prints the streams' sums
 * (stream_sums.ts). A program, to be run under Deno beside those that write.
 *
 *     reader.ts DATA
 */
import process from "node:process";
import { isMeta } from "../../shared/record.ts";
import { openStored } from "../../grinder/reading/open_stored.ts";
import { forEachFresh } from "../../grinder/reading/stored.ts";
import { StreamSums } from "./stream_sums.ts";

const warn = (text: string) => console.error(`reader: ${text}`);
const { stored } = await openStored({ data: process.argv[2]! }, warn);
const sums = new StreamSums();
for await (const { blocks } of stored.blocks({ sinceUs: 0, untilUs: Number.MAX_SAFE_INTEGER })) {
  for (const block of blocks) {
    forEachFresh(block, (record) => {
      if (!isMeta(record.flag)) sums.add(block.header, record);
    });
  }
}
process.stdout.write(sums.format());
