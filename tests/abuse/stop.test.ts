import { afterAll, expect, test } from "bun:test";
import { newIdentity } from "../fixtures.ts";
import { killAll } from "../programs.ts";
import { chunk, chunked, device, frame, Target } from "./target.ts";

afterAll(killAll);

test("a graceful stop isn't held up by clients that stall, wherever they do", async () => {
  await using target = await Target.start();
  const stalled = [
    "",
    await target.head({ "Content-Length": "100" }),
    (await target.head({ "Content-Length": "100" })).slice(0, 100),
    await target.head({ "Content-Length": "5000000" }),
    await target.head({ ...chunked, "Logmill-Ack": "live" }),
    await target.head({ ...chunked, "Logmill-Mode": "bulk" }),
  ].map((head) => {
    const line = target.line();
    line.send(head);
    return line;
  });
  stalled[4]!.send(chunk(frame(0)));
  await stalled[4]!.says(/"acked":[1-9]/);
  expect(await target.program.stop()).toBe(0);
  const [{ header }] = await target.blocks() as [Awaited<ReturnType<Target["blocks"]>>[0]];
  expect(header.device).toBe(device);
});

const badNames = ["../../etc", "a/b", "..", ".", "/", "kiosk\\7", "a b/c"];

test(
  "a device whose name on the allow-list has slashes, or dots alone, isn't let in; the others are",
  async () => {
    await using target = await Target.start();
    const { thumbprint } = target.identity;
    for (const [i, name] of badNames.entries()) {
      const others = await Promise.all(Array.from({ length: i + 2 }, newIdentity));
      const lines = others.map((other, n) => `${other.thumbprint} other-${n}`);
      await target.writeList([`${thumbprint} ${name}`, ...lines], others.length);
      expect([name, (await target.upload()).status]).toEqual([name, 403]);
    }
    await target.writeList([`${thumbprint} ${device}`], 1);
    expect((await target.upload()).status).toBe(200);
    const names = (await target.blocks()).map(({ header }) => header.device);
    expect(new Set(names)).toEqual(new Set([device]));
  },
  30_000,
);
