/** The index as a program: makes it of what is stored, as far as the grinder hasn't. */
import { availableParallelism } from "node:os";
import process from "node:process";
import { programOptions, UsageError } from "../../shared/options.ts";
import { openStorage, parseS3Place, storageOptions } from "../../shared/storage/open.ts";
import { StorageError } from "../../shared/storage/storage.ts";
import { Engine } from "../engine/engine.ts";
import { fillGrams } from "../grep/fill_grams.ts";
import { fillIndex } from "./fill.ts";
import { IndexFile, indexPath } from "./index_file.ts";
import { IndexWriter } from "./index_writer.ts";

const { values } = programOptions(
  `
Usage: deno task index [OPTIONS]     index what is stored and not indexed yet: for narrative, which devices
                                     are in which frames; for grep, what texts can be in them`,
  {
    rebuild: { type: "flag", unit: "", help: "forget what is there, and make all of it anew" },
    ...storageOptions,
    out: {
      type: "text",
      unit: "folder",
      help: "where the grinder's outputs are, and the index (default: --data, or ./data with S3)",
    },
    threads: {
      type: "number",
      unit: "threads",
      default: availableParallelism() - 1,
      help: "beside the first one, for what grep wants to know",
    },
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`index: ${text}`);

try {
  const out = values.out ?? (parseS3Place(values.data) ? "./data" : values.data);
  const storage = await openStorage(values.data, values);
  using file = IndexFile.write(indexPath(out), Date.now(), say);
  if (values.rebuild) file.clear();
  const writer = new IndexWriter(file, { nowMs: Date.now, report: say });
  await using engine = new Engine({ rules: [], rulesPath: "-", threads: 0, warn: say });
  let storedBytes = 0;
  await fillIndex({
    ...{ storage, file, writer },
    digests: (storage, cursors) => engine.digests(storage, cursors),
    progress: (bytes) => storedBytes += bytes,
  });
  const parts = file.parts().length;
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  say(`${mb(storedBytes)} of segments indexed; ${parts} parts in ${file.path}`);
  const { threads } = values;
  const filled = await fillGrams({ storage, grams: file.grams, threads, warn: say });
  say(`${mb(filled.bitsBytes)} noted of what can be in ${mb(filled.textBytes)} of text`);
} catch (error) {
  const told = error instanceof UsageError || error instanceof StorageError;
  say(told ? (error as Error).message : String((error as Error).stack ?? error));
  process.exit(error instanceof UsageError ? 2 : 1);
}
process.exit(0);
