/** What a search gives, in the order in which it is shown: records, and where a group of them ends. */
import type { BlockHeader } from "../../shared/block.ts";
import type { LogRecord } from "../../shared/record.ts";
import type { WallTime } from "../clock_fit.ts";
import type { Place } from "../event.ts";

export interface Line {
  kind: "match" | "context";
  header: BlockHeader;
  record: LogRecord;
  place: Place;
  time: WallTime;
}
