/**
 * Entries in, lines for people out:
 *
 *     ---- 2026-11-22 (UTC) ----
 *     ==== router1 boot 0b5f0a4e: after a panic, away for at most 48.2 s ====
 *     20:21:34.123456   usb_disconnect   usb 1-1.4: USB disconnect, device number 7
 *     20:21:34.225000 >                  recovered from the memory of the boot that died
 *     20:21:35.000000 !                  12 records missing: overrun
 *     20:21:36.000000 ~                  the time may be off by more than a second
 *     20:21:36.000000 <                  it came too late to stand where it belongs
 *
 * Where several devices are told of, their names stand before the margin; sources other than kmsg stand
 * before the text.
 */
import { type LogRecord, unescapeText } from "../../shared/record.ts";
import type { WallTime } from "../clock_fit.ts";
import { isoMicros } from "../event.ts";
import type { BootEntry, ClockEntry, Entry, GapEntry, HoleEntry, RecordEntry } from "./entry.ts";
import type { Style } from "./style.ts";

export interface TextOptions {
  style: Style;
  /** The devices that are told of. */
  devices: readonly string[];
}

const marginChars = 18;
/** What is off by more is marked. */
const errorUsMax = 1_000_000;
const causes = {
  clean: "after it was shut down",
  panic: "after a panic",
  power: "after its power was lost, or a reset",
} as const;

export class EntryText {
  #day = "";
  readonly #deviceChars: number;

  constructor(private readonly options: TextOptions) {
    const { devices } = options;
    this.#deviceChars = devices.length < 2
      ? 0
      : Math.max(...devices.map(({ length }) => length)) + 2;
  }

  /** Whole lines. */
  of(entry: Entry): string {
    const day = isoMicros(entry.time.wallUs).slice(0, 10);
    const heading = day === this.#day
      ? ""
      : `${this.options.style.dim(`---- ${day} (UTC) ----`)}\n`;
    this.#day = day;
    return heading + this.#entry(entry);
  }

  #entry(entry: Entry): string {
    switch (entry.kind) {
      case "record":
        return this.#record(entry);
      case "gap":
        return this.#remark(entry, gapText(entry));
      case "hole":
        return this.#remark(entry, holeText(entry));
      case "clock":
        return this.#remark(entry, clockText(entry));
      case "boot":
        return this.options.style.bold(`==== ${bootText(entry)} ====`) + "\n";
    }
  }

  #record({ device, time, source, record, rules, late }: RecordEntry): string {
    const { style } = this.options;
    const mark = record.flag === "p" ? ">" : late ? "<" : errorMark(time);
    const start = this.#start(device, time, mark, rules.join(" "));
    const indent = " ".repeat(this.#startChars);
    const from = source === "kmsg" || source === "pstore" ? "" : style.dim(`${source}: `);
    const [first, ...more] = textLines(record).map((line) => style.level(line, record.prio & 7));
    return `${start}${from}${first}\n${more.map((line) => `${indent}${line}\n`).join("")}`;
  }

  #remark({ device, time }: Entry, text: string): string {
    return `${this.#start(device, time, "!", "")}${this.options.style.alarm(text)}\n`;
  }

  get #startChars(): number {
    return 18 + this.#deviceChars + marginChars + 1;
  }

  #start(device: string, { wallUs }: WallTime, mark: string, rules: string): string {
    const { style } = this.options;
    const name = this.#deviceChars === 0 ? "" : device.padEnd(this.#deviceChars);
    const cut = rules.length > marginChars ? `${rules.slice(0, marginChars - 1)}+` : rules;
    return `${style.dim(isoMicros(wallUs).slice(11, 26))} ${mark} ${name}` +
      `${style.bold(cut)}${" ".repeat(marginChars + 1 - cut.length)}`;
  }
}

function errorMark({ errorUs }: WallTime): string {
  return errorUs > errorUsMax ? "~" : " ";
}

// deno-lint-ignore no-control-regex
const controls = /[\x00-\x1f\x7f-\x9f]/g;

/** What a terminal would obey is shown, not sent: whoever writes a log is no friend of its reader. */
function textLines({ text }: LogRecord): string[] {
  return unescapeText(text).split("\n").map((line) =>
    line.replace(controls, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)
  );
}

function gapText({ source, gap: { first, last, count, cause } }: GapEntry): string {
  const which = first === undefined || last === "?"
    ? first === undefined ? "" : ` from seq ${first} on`
    : ` (seq ${first} to ${last})`;
  const many = count === 0 ? "records" : plural(count, "record");
  return `${many} of ${source} missing${which}: ${cause}`;
}

function holeText({ source, first, last, count }: HoleEntry): string {
  return `${
    plural(count, "record")
  } of ${source} missing (seq ${first} to ${last}): nothing says why`;
}

function clockText({ step: { kind, seconds } }: ClockEntry): string {
  if (kind === "suspend") return `the device slept for ${seconds} s`;
  return `the device's clock was set ${seconds < 0 ? "back" : "forward"} by ${Math.abs(seconds)} s`;
}

function bootText({ device, boot, cause, awayUs, again }: BootEntry): string {
  const name = `${device} boot ${boot}`;
  if (again) return `${name}: more of it`;
  if (!cause) return name;
  return `${name}: ${causes[cause]}, away for at most ${seconds(awayUs ?? 0)}`;
}

function seconds(us: number): string {
  if (us < 120e6) return `${(us / 1e6).toFixed(1)} s`;
  if (us < 7200e6) return `${(us / 60e6).toFixed(1)} min`;
  return us < 172_800e6 ? `${(us / 3600e6).toFixed(1)} h` : `${(us / 86_400e6).toFixed(1)} d`;
}

function plural(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}
