import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { openRing, RingError } from "./ring.ts";

function errorOf(path: string): RingError {
  try {
    openRing(path).close();
  } catch (error) {
    expect(error).toBeInstanceOf(RingError);
    return error as RingError;
  }
  return expect.unreachable(`${path} was opened`);
}

test("a ring that isn't there, or can't be read, says what to do about it", () => {
  using folder = new TemporaryFolder();
  const missing = join(folder.path, "kmsg");
  // A folder opens and can't be read: so does /dev/kmsg for those who may not (dmesg_restrict).
  for (const [path, why] of [[missing, "ENOENT"], [folder.path, "EISDIR"]] as const) {
    const { message, code } = errorOf(path);
    expect(code).toBe("no_kmsg");
    expect(message).toStartWith(`Cannot read ${path} because it must be readable: ${why}`);
    expect(message).toContain("Run as root or with CAP_SYSLOG");
    expect(message).toContain("PROGRAM | logmill-agent --source stdin");
  }
});

test("a ring gives its first record first, though it was tried by a read", () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "kmsg");
  writeFileSync(path, "6,0,1,-;caf\xe9\n", "latin1");
  const ring = openRing(path);
  expect(ring.next()).toEqual({ kind: "record", text: "6,0,1,-;caf\xe9\n" });
  expect(ring.next()).toEqual({ kind: "empty" });
  ring.close();
});
