import { expect, test } from "bun:test";
import { block, line, linkRule, tookRule } from "./fixtures.ts";
import { json } from "./rule.ts";
import { FrameEvents } from "./rules_events.ts";

test("events of a frame carry their rule, record, header and place, in order", () => {
  const events = new FrameEvents([linkRule, tookRule], "");
  const first = block(line(0, "nothing") + line(1, "link up on a") + " SUBSYSTEM=net\n");
  const second = block(line(5, "took 3 ms") + line(6, "link down on b\\x09 took 4 ms"), {
    device: "d2",
  });
  const raw = block("<4>[   12.000000] link lost on c\n", { source: "raw" });
  const text = first + second + raw;
  const found = events.in(text);
  expect(
    found.map((
      { rule, labels, value, record, header },
    ) => [rule.name, labels["way"], value, record.seq, record.text, record.more, header.device]),
  ).toEqual([
    ["link", "up", undefined, 1, "link up on a", ["SUBSYSTEM=net"], "d1"],
    ["took", undefined, 3, 5, "took 3 ms", [], "d2"],
    ["link", "down", undefined, 6, "link down on b\\x09 took 4 ms", [], "d2"],
    ["took", undefined, 4, 6, "link down on b\\x09 took 4 ms", [], "d2"],
    ["link", "lost", undefined, 0, "link lost on c", [], "d1"],
  ]);
  for (const { start, record } of found.slice(0, 4)) {
    expect(text.slice(start)).toStartWith(`6,${record.seq},`);
  }
  expect(events.in(block(line(0, "nothing")))).toEqual([]);
});

test("events are those of rules of other kinds too, and of frames of any length after each other", () => {
  const rule = json("query", { where: { event: "query" }, labels: ["db"], yes: [] });
  const events = new FrameEvents([rule], "");
  const text = (n: number) =>
    block(line(n, '{"event": "query", "db": "é"}'.replace("é", "\\xc3\\xa9")));
  // Bytes beyond ASCII before it move nothing.
  const raw = block("gr\xc3\xbcn ".repeat(1_000) + "\n", { source: "raw" });
  expect(events.in(raw + text(3)).map(({ record }) => record.seq)).toEqual([3]);
  for (const filler of [0, 5_000, 10]) {
    const found = events.in(block(line(0, "x".repeat(filler))) + text(7));
    expect(found.map(({ labels, record }) => [labels["db"], record.seq])).toEqual([["é", 7]]);
  }
});
