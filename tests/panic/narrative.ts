/** What a device said before, at and after its reboots, as a person would read it. */
import { isoMicros } from "../../grinder/event.ts";
import type { EventLine } from "../verify/events.ts";
import type { TimelineBoot, TimelineLine } from "./timeline.ts";

/** Lines at each boot's beginning and end that are shown. */
const beginningLines = 2;
const endLines = { died: 14, alive: 3 };
/** After a panic a kernel prints some forty lines about itself. */
const afterPanicLines = 3;
const columns = 100;

export function narrative(device: string, boots: TimelineBoot[], events: EventLine[]): string {
  return boots.flatMap((boot) => [
    `${device}, boot ${boot.boot}`,
    ...rebootOf(boot, events),
    ...shownOf(boot),
    "",
  ]).join("\n");
}

function rebootOf({ boot }: TimelineBoot, events: EventLine[]): string[] {
  const reboot = events.find((event) => event.rule === "reboot" && event.boot === boot);
  return reboot ? [`  ${clockOf(reboot.time)}  * ${reboot.text}`] : [];
}

function shownOf({ lines, gaps }: TimelineBoot): string[] {
  const panic = lines.findIndex(({ text }) => /^Kernel panic - not syncing/.test(text));
  const until = panic < 0 ? lines.length : Math.min(panic + afterPanicLines, lines.length);
  const died = panic >= 0 || gaps.length > 0;
  const from = Math.max(until - (died ? endLines.died : endLines.alive), beginningLines);
  const recovered = lines.findIndex((line) => line.recovered);
  const shown = [
    ...lines.slice(0, beginningLines).map(format),
    ...(from > beginningLines ? [`  ${" ".repeat(15)}    ... ${from - beginningLines} lines`] : []),
    ...lines.slice(from, until).map(format),
    ...(until < lines.length ? [`  ${" ".repeat(15)}    ... ${lines.length - until} lines`] : []),
  ];
  const losses = gaps.map((gap) =>
    `  ! ${gap.count || "an unknown number of"} lines are missing after seq ${
      gap.first! - 1
    }: ${gap.cause}`
  );
  const saved = recovered < 0
    ? []
    : [`  > ${lines.length - recovered} lines came out of the dead kernel's memory`];
  return [...shown, ...losses, ...saved];
}

function format({ wallUs, text, recovered }: TimelineLine): string {
  const line = `  ${clockOf(isoMicros(wallUs))}  ${recovered ? ">" : " "} ${text}`;
  return line.length <= columns ? line : `${line.slice(0, columns - 3)}...`;
}

/** Of an ISO time: the time of the day. */
function clockOf(iso: string): string {
  return iso.slice(11, 26);
}
