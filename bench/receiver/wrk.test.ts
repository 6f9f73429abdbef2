import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readUploadFrame } from "../../shared/upload.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { LogText } from "../../tests/fleet/text.ts";
import { identities } from "./devices.ts";
import { bodyBytes, fileHeads, frameBody, makeBodies, textBody, writeLoad } from "./wrk_load.ts";
import { type Measured, ratio, rowOf } from "./wrk_rows.ts";
import { parseWrk, runWrk, wrkVersion } from "./wrk_run.ts";

const router = (seed: number) => new LogText(seededRandom(seed), `router${seed}`);

test("a text body is 30 KiB of whole lines, none of which is empty or begins with #", () => {
  const { body, textBytes } = textBody(router(1));
  const text = new TextDecoder().decode(body);
  expect([body.length, textBytes]).toEqual([30_720, 30_720]);
  expect(text.endsWith("\n")).toBe(true);
  const lines = text.slice(0, -1).split("\n");
  expect(lines.length).toBeGreaterThan(100);
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/^\[ +\d+\.\d{6}\] ./);
});

test("a frame body is a frame that the receiver takes, of 30 KiB or up to a twentieth fewer or more", () => {
  const { body, textBytes } = frameBody(router(2));
  const block = readUploadFrame(body);
  expect(block.decodedBytes).toBe(textBytes);
  expect(block.header.count).toBe(block.header.last - block.header.first + 1);
  const records = new TextDecoder().decode(block.records).split("\n").slice(0, -1);
  expect(records.filter((line) => !line.startsWith(" "))).toHaveLength(block.header.count);
  expect(Math.abs(body.length - bodyBytes)).toBeLessThan(bodyBytes / 20);
});

test("wrk's result is read from the line that the script prints", () => {
  const line =
    `wrk: {"requests":10,"micros":2000000,"statuses":1,"broken":2,"timeouts":3,"p50Us":1500,"p99Us":9000}`;
  expect(parseWrk(`Running 2s test\n${line}\nRequests/sec: 5\n`)).toEqual({
    requests: 10,
    seconds: 2,
    statuses: 1,
    broken: 2,
    timeouts: 3,
    p50Ms: 1.5,
    p99Ms: 9,
    raw: "Running 2s test\nRequests/sec: 5\n",
  });
  expect(() => parseWrk("unable to connect")).toThrow("unable to connect");
});

test("a row has the medians of its runs, without what was refused", () => {
  const run = { seconds: 10, broken: 0, timeouts: 0, p50Ms: 1, p99Ms: 2, raw: "" };
  const measured = (requests: number, statuses: number): Measured => ({
    burst: { ...run, requests: 2 * requests, statuses: 0 },
    rest: { ...run, requests, statuses },
    rssMiB: requests,
    cpuMs: 3 * requests - statuses,
    answered: requests,
    stored: requests,
  });
  const bodies = { kind: "text", path: "", lengths: [1e6, 3e6], textBytes: 4e6 } as const;
  const row = rowOf("logmill", { ...bodies, lengths: [...bodies.lengths] }, 64, [
    measured(9_000, 0),
    measured(110, 10),
    measured(510, 10),
  ]);
  expect(row).toMatchObject({ requestsPerSecond: 76, burstPerSecond: 102, rssMiB: 510 });
  expect(row).toMatchObject({ bodyMBPerSecond: 152, textMBPerSecond: 304, cpuUsPerBody: 1000 });
  const nginx = { ...row, program: "nginx" as const, requestsPerSecond: 60.8 };
  expect(ratio([row, nginx], "text", 64, "requestsPerSecond")).toBe(1.25);
  expect(ratio([row, nginx], "frame", 64, "requestsPerSecond")).toBeNaN();
});

const wrk = wrkVersion();
if (!wrk) console.log("wrk isn't installed: its script isn't tested (apt-get install wrk)");

test.skipIf(!wrk)("wrk's script sends whole bodies, and no name twice", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wrk-test-"));
  const bodies = makeBodies("text", folder);
  writeLoad(join(folder, "load.lua"), "tag", bodies, fileHeads(await identities(0, 3)));
  const names: string[] = [];
  const lengths = new Set<number>();
  const server = createServer((request, response) => {
    names.push(request.url!);
    let bytes = 0;
    request.on("data", (chunk) => bytes += chunk.length);
    request.on("end", () => {
      lengths.add(bytes);
      response.writeHead(names.length % 10 === 0 ? 503 : 201).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    const run = await runWrk(port, join(folder, "load.lua"), 4, 1);
    expect(run.requests).toBeGreaterThan(20);
    expect(run.statuses).toBeGreaterThan(run.requests / 20);
    expect(names.length).toBeGreaterThanOrEqual(run.requests);
    expect(new Set(names).size).toBe(names.length);
    expect([...lengths]).toEqual([bodyBytes]);
    for (const name of names) expect(name).toMatch(/^\/d[0-2]\/tag-[12]-\d+$/);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  }
});
