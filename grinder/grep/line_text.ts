/**
 * Records in, lines for people out: wall time (UTC), device, source, level, text.
 *
 *     2026-11-22T20:21:34.123456Z  router1 kmsg info: usb 1-1.4: USB disconnect, device number 7
 *     2026-11-22T20:21:34.225000Z~ router1 kmsg err- context, and the time may be off by more than a second
 */
import { unescapeText } from "../../shared/record.ts";
import { isoMicros } from "../event.ts";
import type { Style } from "../narrative/style.ts";
import { levelNames, levelOf } from "./level.ts";
import type { Line } from "./line.ts";

/** What is off by more is marked. */
const errorUsMax = 1_000_000;
// deno-lint-ignore no-control-regex
const controls = /[\x00-\x1f\x7f-\x9f]/g;

/** Whole lines; what a terminal would obey is shown, not sent. */
export function lineText({ kind, header, record, time }: Line, style: Style): string {
  const { device, source } = header;
  const level = levelOf(record.prio);
  const mark = time.errorUs > errorUsMax ? "~" : " ";
  const end = kind === "match" ? ":" : "-";
  const start = `${style.dim(isoMicros(time.wallUs) + mark)} ${style.bold(device)} ${source} ` +
    `${levelNames[level]}${end} `;
  const [first, ...more] = unescapeText(record.text).split("\n").map((line) =>
    line.replace(controls, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)
  );
  const shown = (line: string) => kind === "match" ? style.level(line, level) : style.dim(line);
  return `${start}${shown(first!)}\n${more.map((line) => `    ${shown(line)}\n`).join("")}`;
}

/**
 * The same as a line of JSON: kind (match or context), time (ISO, UTC), time_error_us, device boot source
 * stream seq usec prio flag text, more (continuation lines, if any), recv_us; segment offset line, as in
 * an event.
 */
export function lineJson({ kind, header, record, place, time }: Line): string {
  const { device, boot, source, stream, recvUs } = header;
  const { seq, usec, prio, flag, text, more } = record;
  return `${
    JSON.stringify({
      kind,
      time: isoMicros(time.wallUs),
      time_error_us: time.errorUs,
      ...{ device, boot, source, stream, seq, usec, prio, flag },
      text: unescapeText(text),
      ...(more.length > 0 ? { more: more.map(unescapeText) } : {}),
      recv_us: recvUs,
      ...place,
    })
  }\n`;
}
