/**
 * How far a source has been acknowledged, kept across restarts: one small JSON file for each source.
 *
 *     {"boot":"...","stream":"...","seq":123,"hash":"..."}
 *
 * `hash` is over (prio, usec, text) of the record `seq`, without the seq: a ring that survives a
 * reboot may number its records anew. One that can't be read counts as none: records are sent again,
 * and recognised. A disk that can't take it costs a repetition, never a record.
 */
import { createHash } from "node:crypto";
import { DurableJson } from "../shared/durable_json.ts";
import type { LogRecord } from "../shared/record.ts";

export interface Position {
  boot: string;
  stream: string;
  /** The last ordinary record that is acknowledged. */
  seq: number;
  hash: string;
}

export function recordHash(record: Pick<LogRecord, "prio" | "usec" | "text">): string {
  const { prio, usec, text } = record;
  return createHash("sha256").update(`${prio},${usec},${text}`).digest("base64url").slice(0, 22);
}

export class Checkpoint extends DurableJson<Position> {
  constructor(path: string, warn: (text: string) => void = () => {}) {
    const unreadable = "All that the source still has is sent again.";
    super(path, { check, unreadable, unsaved: "Records may be sent twice.", warn });
  }
}

function check(value: unknown): Position {
  const { boot, stream, seq, hash } = value as Position;
  const strings = [boot, stream, hash].every((field) => typeof field === "string");
  if (!strings || !Number.isSafeInteger(seq) || seq < 0) throw new Error("it isn't a position");
  return { boot, stream, seq, hash };
}
