import { expect, test } from "bun:test";
import { lifecycleRule } from "./s3_lifecycle.ts";

test("lifecycleRule deletes segments of that age, and nothing else below the prefix", () => {
  expect(JSON.parse(lifecycleRule("logs", 60)).Rules).toEqual([{
    ID: "logmill-segments",
    Status: "Enabled",
    Filter: { Prefix: "logs/segments/" },
    Expiration: { Days: 60 },
    NoncurrentVersionExpiration: { NoncurrentDays: 1 },
  }]);
  expect(JSON.parse(lifecycleRule("", 1)).Rules[0].Filter).toEqual({ Prefix: "segments/" });
});

test.each([0, 0.5, -1, NaN, Infinity])("lifecycleRule refuses an age of %d days", (days) => {
  expect(() => lifecycleRule("logs", days)).toThrow("whole days");
});
