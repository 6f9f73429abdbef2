import { expect, test } from "bun:test";
import process from "node:process";
import { executableMaps, parseKeys, UsageMeter } from "./usage.ts";

test("parseKeys reads the kernel's lines of a key and a number, and steps over others", () => {
  const text = "55a0-7ffd ---p 0 00:00 0   [rollup]\nRss:     1624 kB\nPss_Anon:  112 kB\n";
  expect([...parseKeys(text)]).toEqual([["Rss", 1624], ["Pss_Anon", 112]]);
});

test("executableMaps names each file that is run from once, and no memory", () => {
  const maps = `55a0-55a1 r--p 00000000 fe:00 12    /usr/sbin/a b
55a1-55a2 r-xp 00001000 fe:00 12    /usr/sbin/a b
55a2-55a3 r-xp 00002000 fe:00 12    /usr/sbin/a b
7f00-7f01 r-xp 00000000 00:00 0
7ffe-7fff r-xp 00000000 00:00 0     [vdso]
`;
  expect(executableMaps(maps)).toEqual(["/usr/sbin/a b"]);
});

test.skipIf(process.platform !== "linux")("UsageMeter counts the CPU time of its processes", () => {
  const meter = new UsageMeter([process.pid]);
  const endMs = performance.now() + 60;
  while (performance.now() < endMs);
  const usage = meter.end();
  // Other processes may have had the core for a part of the time, not for all of it.
  expect(usage.cpuMs).toBeGreaterThan(5);
  expect(usage.cpuMs).toBeLessThan(2_000);
  expect(usage.rssMB).toBeCloseTo(usage.ownDirtyMB + usage.ownCleanMB + usage.sharedMB, 1);
});
