/** What a fleet has to say, for people. */
import process from "node:process";
import type { FleetStats } from "./fleet.ts";

/** A few lines; the fleet ran for so many seconds. */
export function formatStats(stats: FleetStats, seconds: number): string {
  const { devices, boots, records, bytes, acked, died, posts, failures, resentFrames } = stats;
  const cpu = process.cpuUsage();
  const each = ({ p50, p90, p99, max }: FleetStats["leaveMs"]) =>
    Number.isNaN(p50) ? "never" : `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, max ${max} ms`;
  return [
    `devices       ${devices}, ${boots} boots`,
    `written       ${records} records, ${bytes} bytes: ${Math.round(bytes / seconds)} B/s`,
    `acknowledged  ${acked} records; ${died} died with their device`,
    `POSTs         ${posts}, ${failures} failed; ${resentFrames} frames sent again`,
    `left after    ${each(stats.leaveMs)}`,
    `durable after ${each(stats.durableMs)}`,
    `CPU           ${((cpu.user + cpu.system) / 1e6).toFixed(1)} s in ${seconds.toFixed(1)} s`,
  ].join("\n");
}

/** A fleet that loses its receiver has as many words for it as devices: the first ones tell. */
export function limited(say: (text: string) => void, perSecond = 5): (text: string) => void {
  let [second, said] = [0, 0];
  return (text) => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      if (said > perSecond) say(`and ${said - perSecond} more`);
      [second, said] = [now, 0];
    }
    if (++said <= perSecond) say(text);
  };
}
