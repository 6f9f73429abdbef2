/** Notices that the network may be back: a route came or went, or a link. */
import { readFileSync } from "node:fs";

const files = ["/proc/net/route", "/proc/net/ipv6_route"];
const lookEveryMs = 1_000;

/** Calls `changed` soon after the machine's routes change, as long as `watching` says so. */
export async function watchNetwork(
  watching: () => boolean,
  changed: () => void,
  sleep: (ms: number) => Promise<void>,
  routes: () => string = readRoutes,
): Promise<void> {
  let known: string | undefined;
  for (;;) {
    await sleep(lookEveryMs);
    // While all is well nobody needs to know, and 100,000 devices needn't look.
    if (!watching()) {
      known = undefined;
      continue;
    }
    const now = routes();
    if (known !== undefined && now !== known) changed();
    known = now;
  }
}

/** Destinations and gateways; the counters in these files change all the time. */
function readRoutes(): string {
  return files.map((file) => {
    try {
      return readFileSync(file, "utf8").split("\n").map(withoutCounters).join("\n");
    } catch {
      return "";
    }
  }).join("\n");
}

function withoutCounters(line: string): string {
  const words = line.trim().split(/\s+/);
  // IPv4: Iface Destination Gateway Flags RefCnt Use ...; IPv6: ... 7 and 8 are the counters.
  return words.length >= 11
    ? words.filter((_, i) => i !== 4 && i !== 5).join(" ")
    : words.slice(0, 6).join(" ");
}
