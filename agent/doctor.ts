/**
 * `agent doctor`: a machine in, and in plain words what would survive a panic there, what wouldn't, and the
 * lines that change that. It changes nothing.
 *
 * | exit status | meaning |
 * |-------------|---------|
 * | 0 | nothing would be lost; there may be hints |
 * | 1 | something would be lost |
 */
import process from "node:process";
import { checkAgent } from "./doctor/check_agent.ts";
import { checkPanic } from "./doctor/check_panic.ts";
import { checkReset } from "./doctor/check_reset.ts";
import { checkRing, readRing } from "./doctor/check_ring.ts";
import { commandLinePlace, type DoctorOptions, type Finding } from "./doctor/finding.ts";
import { Machine } from "./doctor/machine.ts";
import { addressHelp } from "./doctor/reserve.ts";

export interface DoctorReport {
  text: string;
  status: 0 | 1;
}

const checks = [checkPanic, checkReset, checkRing, checkAgent];
const order = ["lost", "hint", "ok"] as const;
const marks = { lost: "LOST", hint: "hint", ok: "ok  " };
const widthMax = 96;

/** Looks at the machine below `root`. */
export function examine(root: string, options: DoctorOptions, { json = false } = {}): DoctorReport {
  const machine = new Machine(root);
  const found = checks.flatMap((check) => check(machine, options));
  const findings = order.flatMap((level) => found.filter((finding) => finding.level === level));
  const status = findings.some(({ level }) => level === "lost") ? 1 : 0;
  if (json) return { status, text: jsonOf(machine, findings, status) };
  return { status, text: [...findings.map(formatFinding), summary(machine, findings)].join("\n") };
}

function jsonOf(machine: Machine, findings: Finding[], status: number): string {
  const ring = readRing(machine);
  const known = ring instanceof Error ? undefined : {
    bytes: ring.bytes,
    bytes_per_second: ring.bytesPerSecond,
    hours: ring.hours,
  };
  return `${JSON.stringify({ status, ring: known, findings }, null, 2)}\n`;
}

function formatFinding({ level, text, add }: Finding): string {
  const lines = wrap(text).map((line, n) => `${n === 0 ? marks[level] : "    "}  ${line}\n`);
  let place = "";
  for (const { where, line } of add) {
    if (where !== place) lines.push(`      add to ${where}:\n`);
    lines.push(`          ${line}\n`);
    place = where;
  }
  return lines.join("");
}

/** What is lost, and all words for the kernel's command line in one: they are one line there, too. */
function summary(machine: Machine, findings: Finding[]): string {
  const lost = findings.filter(({ level }) => level === "lost").length;
  const place = commandLinePlace(machine);
  const words = findings.flatMap(({ add }) => add).filter(({ where }) => where === place)
    .map(({ line }) => line);
  const head = lost === 0
    ? "Nothing that is logged here would be lost in a panic."
    : `${lost} thing${lost === 1 ? "" : "s"} to change before nothing is lost.`;
  const together = [...new Set(words)].join(" ");
  const help = together.includes("ADDRESS") ? `${addressHelp}\n` : "";
  if (words.length < 2) return `${head}\n${help}`;
  return `${head}\n\nTogether, on the kernel's command line:\n  ${together}\n${help}`;
}

function wrap(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line.length + word.length >= widthMax) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

/** Of this machine, or of the one below `root`, on standard output; returns the exit status. */
export function runDoctor(root: string, options: DoctorOptions, json: boolean): number {
  const { text, status } = examine(root, options, { json });
  process.stdout.write(text);
  return status;
}
