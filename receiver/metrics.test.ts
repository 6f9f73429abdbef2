import { spawnSync } from "node:child_process";
import { expect, test } from "bun:test";
import { newReceiver } from "../tests/receiver.ts";
import { Metrics } from "./metrics.ts";

test("metrics are written in Prometheus' text format", () => {
  const metrics = new Metrics();
  const plain = metrics.counter("a_total", "Plain.");
  const labelled = metrics.counter("b_total", "By reason.", "reason");
  metrics.gauge("c", "One.", () => 7);
  metrics.gauge("d", "By mode.", () => ({ live: 1, bulk: 2 }), "mode");
  const histogram = metrics.histogram("e_seconds", "Times.", [0.1, 1]);
  plain.add();
  plain.add(2.5);
  labelled.add(1, "busy");
  labelled.add(1, "share");
  labelled.add(1, "busy");
  for (const value of [0.1, 0.5, 0.75, 20]) histogram.observe(value);
  expect(metrics.text()).toBe(`# HELP a_total Plain.
# TYPE a_total counter
a_total 3.5
# HELP b_total By reason.
# TYPE b_total counter
b_total{reason="busy"} 2
b_total{reason="share"} 1
# HELP c One.
# TYPE c gauge
c 7
# HELP d By mode.
# TYPE d gauge
d{mode="live"} 1
d{mode="bulk"} 2
# HELP e_seconds Times.
# TYPE e_seconds histogram
e_seconds_bucket{le="0.1"} 1
e_seconds_bucket{le="1"} 3
e_seconds_bucket{le="+Inf"} 4
e_seconds_sum 21.35
e_seconds_count 4
`);
});

const promtool = spawnSync("promtool", ["--version"]).status === 0;
if (!promtool) console.warn("promtool isn't here (Debian's package prometheus): one test skipped");

test.if(promtool)("a receiver's metrics are such that Prometheus finds nothing wrong", async () => {
  const sink = {
    pace: { companyMs: 0, batchBytes: 1, parallel: 1 },
    commit: () => Promise.resolve(),
    probe: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const { receiver, admission, metrics, commits } = newReceiver({ sink, allowed: () => undefined });
  metrics.watch({ admission, advice: { flushMs: 200 }, commits, door: { size: 3 } });
  await receiver.fetch(new Request("http://receiver/v1/logs", { method: "POST", body: "x\n" }));
  await commits.append(new TextEncoder().encode("some text\n"));
  const response = await receiver.fetch(new Request("http://receiver/metrics"));
  const text = await response.text();
  expect(text).toContain('logmill_refusals_total{reason="no_token"} 1\n');
  expect(text).toContain("logmill_commit_seconds_count 1\n");
  expect(text).toContain("logmill_committed_bytes_total 10\n");
  expect(text).toContain('logmill_streams{mode="live"} 0\n');
  const { stdout, stderr, status } = spawnSync("promtool", ["check", "metrics"], { input: text });
  expect([String(stdout), String(stderr), status]).toEqual(["", "", 0]);
});
