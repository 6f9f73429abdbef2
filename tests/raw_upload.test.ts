import { afterAll, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bunPath, killAll, root, startGrinder, startReceiver } from "./programs.ts";

afterAll(killAll);

const noCurl = spawnSync("curl", ["--version"]).error !== undefined;
if (noCurl) console.log("raw upload: skipped, since curl isn't on this machine");

/** As `dmesg` prints it: no seq, the kernel's time in brackets. */
const dmesg = "[    0.000000] Linux version 6.6.30 (builder@ci) (gcc) #1 SMP\n" +
  "[   12.345678] usb 1-1.2: USB disconnect, device number 41\n" +
  "# a line that looks like a header of ours\n";

test.skipIf(noCurl)("dmesg | curl is stored, and a rule finds its line", async () => {
  const data = mkdtempSync(join(tmpdir(), "logmill-raw-"));
  const state = join(data, "agent");
  const run = (program: string, ...args: string[]) =>
    execFileSync(bunPath, [program, ...args], { cwd: root, encoding: "utf8" }).trim();
  const thumbprint = run("agent/main.ts", "identity", "--state", state);
  run("receiver/main.ts", "allow", thumbprint, "--device", "laptop", "--data", data);
  const receiver = await startReceiver(data, "--port", "0");
  const token = run("agent/main.ts", "token", "--state", state);

  const header = `Authorization: Bearer ${token}`;
  const curl = ["-sS", "-T", "-", "-H", header, `${receiver.url}v1/logs`];
  const answer = spawnSync("curl", curl, { input: dmesg, encoding: "utf8" });
  expect(JSON.parse(answer.stdout)).toEqual({ acked: dmesg.length });
  await receiver.program.stop();
  expect(await (await startGrinder(data, "--once")).exited()).toBe(0);

  const [file] = readdirSync(join(data, "events"));
  const lines = readFileSync(join(data, "events", file!), "utf8").trim().split("\n");
  const events = lines.map((line) => JSON.parse(line));
  expect(events.map(({ rule, device, source, usec }) => ({ rule, device, source, usec }))).toEqual([
    { rule: "boot", device: "laptop", source: "raw", usec: 0 },
    { rule: "usb_disconnect", device: "laptop", source: "raw", usec: 12_345_678 },
  ]);
  const [segment] = readdirSync(join(data, "segments"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".zst"));
  const zstd = spawnSync("zstdcat", [join(data, "segments", segment!)], { encoding: "utf8" });
  if (zstd.error) console.log("zstdcat isn't on this machine: its part is skipped");
  else expect(zstd.stdout).toContain("\\x23 a line that looks like a header of ours\n");
  rmSync(data, { recursive: true });
});
