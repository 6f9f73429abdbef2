import { expect, test } from "bun:test";
import { FakeClock } from "../tests/fixtures.ts";
import { watchNetwork } from "./network_watch.ts";

function setUp() {
  const clock = new FakeClock();
  const network = { offline: true, routes: "none", changes: 0, looks: 0 };
  void watchNetwork(() => network.offline, () => network.changes++, clock.sleep, () => {
    network.looks++;
    return network.routes;
  });
  return { clock, network };
}

test("a change of routes while offline is told within a second or two", async () => {
  const { clock, network } = setUp();
  await clock.advance(5_000);
  network.routes = "default via 192.0.2.1";
  await clock.advance(1_000);
  expect(network.changes).toBe(1);
  await clock.advance(10_000);
  expect(network.changes).toBe(1);
});

test("routes aren't looked at while all is well, and what changed then isn't told", async () => {
  const { clock, network } = setUp();
  network.offline = false;
  await clock.advance(10_000);
  expect(network.looks).toBe(0);
  network.routes = "default via 192.0.2.1";
  network.offline = true;
  await clock.advance(10_000);
  expect([network.looks > 0, network.changes]).toEqual([true, 0]);
});
