/** What is done to the guest, as data: the steps of guest/init in each boot, and what must come of it. */

export interface Variant {
  name: string;
  /** What happens, in words. */
  story: string;
  /** One list of steps for each boot. */
  boots: readonly (readonly string[])[];
  /** The size of a dump in ramoops: 1 MiB, if nothing else is said. */
  recordBytes?: number;
  /** `ramoops.max_reason`: 2 (panic and oops), if nothing else is said. */
  maxReason?: number;
  /** What of each boot must be found, by its number: of the first ones, what the next ones ship. */
  ends: readonly End[];
}

/**
 * | end | what is stored of the boot |
 * |-----|----------------------------|
 * | panic | every line up to the panic, which makes an event with its reason |
 * | undated | as panic, but of its clock nothing is known but when the lines arrived |
 * | reboot | every line up to the kernel's last words at an orderly reboot |
 * | cut | its last words, but before them some are missing, and a gap says so |
 * | lost | every line that was acknowledged, and a gap that says that the end is missing |
 * | spooled | every line up to a reset without a word, and a gap behind the last one |
 * | unnamed | as panic, but nobody knows any more which boot it was |
 * | alive | it goes on to the end of the run: what came before the agent was stopped |
 */
export type End = "panic" | "undated" | "reboot" | "cut" | "lost" | "spooled" | "unnamed" | "alive";

const start = ["network", "agent", "shipped", "apps", "running"];
const ship = ["network", "agent", "daemon", "shipped", "stop", "off"];

/** The first is the one that is run by default. */
export const variants: readonly Variant[] = [
  {
    name: "panic",
    story: "three programs log; uploads are cut off; 4 s later the kernel panics",
    boots: [[...start, "sleep=3", "cut", "sleep=4", "panic"], ship],
    ends: ["panic", "alive"],
  },
  {
    name: "offline",
    story: "no network, and a panic as soon as an agent runs: nothing was ever acknowledged",
    boots: [["apps", "running", "agent", "noted", "panic"], ship],
    ends: ["undated", "alive"],
  },
  {
    name: "upload",
    story: "the kernel panics while the agent is sending 3,000 lines that just came",
    boots: [["network", "agent", "shipped", "flood=3000", "panic"], ship],
    ends: ["panic", "alive"],
  },
  {
    name: "twice",
    story: "the kernel panics, and again as soon as the last words of the first boot are shipped",
    boots: [
      ["network", "agent", "shipped", "cut", "flood=100", "panic"],
      ["network", "agent", "shipped", "cut", "flood=100", "panic"],
      ship,
    ],
    ends: ["panic", "panic", "alive"],
  },
  {
    name: "twice at once",
    story: "the second boot panics before its agent: its dump takes the place of the first one's",
    boots: [
      ["network", "agent", "shipped", "synced", "cut", "flood=100", "panic"],
      ["panic"],
      ship,
    ],
    ends: ["lost", "unnamed", "alive"],
  },
  {
    name: "reboot",
    story: "no panic: an orderly reboot, with ramoops.max_reason=4",
    boots: [["network", "agent", "shipped", "cut", "flood=100", "reboot"], ship],
    maxReason: 4,
    ends: ["reboot", "alive"],
  },
  {
    name: "reset",
    story: "a reset without a word, as by a power failure: ramoops keeps nothing",
    boots: [["network", "agent", "shipped", "synced", "cut", "flood=100", "reset"], ship],
    ends: ["lost", "alive"],
  },
  {
    name: "reset with pmem",
    story: "the same, with the agent's spool in memory that survives a reset",
    boots: [
      ["pmem", "network", "agent", "shipped", "sleep=8", "cut", "flood=100", "sleep=1", "reset"],
      ["pmem", ...ship],
    ],
    ends: ["spooled", "alive"],
  },
  {
    name: "small record",
    story: "a dump of 8 KiB, and more than that to be said",
    boots: [["network", "agent", "shipped", "cut", "flood=2000", "panic"], ship],
    recordBytes: 8 << 10,
    ends: ["cut", "alive"],
  },
  {
    name: "systemd-pstore",
    story: "the dump is moved to /var/lib/systemd/pstore before the agent starts",
    boots: [["network", "agent", "shipped", "cut", "flood=100", "panic"], ["move", ...ship]],
    ends: ["panic", "alive"],
  },
  {
    name: "position on tmpfs",
    story: "the agent's --run is on tmpfs: the position on flash is up to a minute old",
    boots: [["sparing", "network", "agent", "shipped", "flood=500", "sleep=3", "panic"], [
      "sparing",
      ...ship,
    ]],
    ends: ["panic", "alive"],
  },
  {
    name: "state on tmpfs",
    story: "all that the agent knows is on tmpfs, but for its key",
    boots: [["volatile", "network", "agent", "shipped", "cut", "flood=100", "panic"], [
      "volatile",
      ...ship,
    ]],
    ends: ["unnamed", "alive"],
  },
];
