import { expect, test } from "bun:test";
import { parseRecord } from "../shared/record.ts";
import { formatEvent, isoMicros } from "./event.ts";
import { header, noonUs } from "./fixtures.ts";

test("an event's line is golden", () => {
  const event = {
    rule: "link",
    labels: { way: "up", city: "" },
    value: 1.5,
    header: header({ recvUs: noonUs + 1 }),
    record: parseRecord('6,41,1234567,-,caller=T1;link up\\x0a\\xc3\\xa9 \\x41 "q"')!,
    place: { segment: "r1/20261122T202134.123Z-9f3c2a71/00000003", offset: 1024, line: 77 },
  };
  const golden = '{"rule":"link","time":"2026-11-22T11:59:59.999999Z","time_error_us":50000,' +
    '"device":"d1","boot":"b1","source":"kmsg","stream":"b1","seq":41,"usec":1234567,"prio":6,' +
    '"labels":{"way":"up","city":""},"value":1.5,"text":"link up\\né \\\\x41 \\"q\\"",' +
    '"recv_us":1795348800000001,' +
    '"segment":"r1/20261122T202134.123Z-9f3c2a71/00000003","offset":1024,"line":77}\n';
  expect(formatEvent(event, { wallUs: noonUs - 1, errorUs: 50_000 })).toBe(golden);
  const { value: _, ...plain } = event;
  expect(formatEvent(plain, { wallUs: noonUs - 1, errorUs: 50_000 })).toBe(
    golden.replace('"value":1.5,', ""),
  );
});

test("a time is written with microseconds, before 1970 too", () => {
  expect(isoMicros(0)).toBe("1970-01-01T00:00:00.000000Z");
  expect(isoMicros(noonUs + 123_456)).toBe("2026-11-22T12:00:00.123456Z");
  expect(isoMicros(-1)).toBe("1969-12-31T23:59:59.999999Z");
});
