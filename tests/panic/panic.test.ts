import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { TemporaryFolder } from "../fixtures.ts";
import { killAll } from "../programs.ts";
import { check } from "./checks.ts";
import { missingPackages, unpackedDebian } from "./debian.ts";
import { buildImages } from "./images.ts";
import { narrativeIn, runVariant } from "./run.ts";
import { variants } from "./variants.ts";

afterAll(killAll);

/** A minute on an idle machine. */
const runMsMax = 400_000;

const debian = debianOrWhyNot();
if ("whyNot" in debian) console.log(`no kernel panics here: ${debian.whyNot}`);

function debianOrWhyNot(): { folder: string } | { whyNot: string } {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { whyNot: "the guest is a PC, and its agent is this machine's own" };
  }
  const missing = missingPackages();
  if (missing.length > 0) return { whyNot: `these must be installed: ${missing.join(", ")}` };
  try {
    return { folder: unpackedDebian() };
  } catch (error) {
    return { whyNot: `Debian's kernel can't be downloaded: ${(error as Error).message}` };
  }
}

describe.skipIf("whyNot" in debian)("a real kernel's panic", () => {
  test(
    "loses no line that was said before it, and the narrative has its end",
    async () => {
      using folder = new TemporaryFolder();
      const images = buildImages(
        (debian as { folder: string }).folder,
        join(folder.path, "images"),
      );
      const place = join(folder.path, "panic");
      const outcome = await runVariant(variants[0]!, images, place);
      expect(check(variants[0]!, outcome).filter(({ ok }) => !ok)).toEqual([]);
      expect(narrativeIn(place)).toMatch(
        / > .*player: .*\n(?:.*\n)*.* > kernel_panic .*Kernel panic - not syncing: sysrq triggered.*\n(?:.*\n)*==== .*: after a panic/,
      );
    },
    runMsMax,
  );
});
