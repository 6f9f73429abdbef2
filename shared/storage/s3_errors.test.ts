import { expect, test } from "bun:test";
import { explain, isPassing } from "./s3_errors.ts";
import { connectionReset, s3Error } from "./s3_fake.ts";

const noKeys = Object.assign(new Error("none"), { name: "CredentialsProviderError" });

test.each([
  [connectionReset(), true, "nothing answers (ECONNRESET)"],
  [new Error("no answer in 10 ms"), true, "nothing answers (no answer in 10 ms)"],
  [s3Error("SlowDown", 503), true, "the server answered 503 SlowDown"],
  [s3Error("RequestTimeTooSkewed", 403), true, "(RequestTimeTooSkewed)"],
  [noKeys, false, "there are no keys: set AWS_ACCESS_KEY_ID"],
  [s3Error("InvalidAccessKeyId", 403), false, "doesn't know these keys (InvalidAccessKeyId)"],
  [s3Error("AccessDenied", 403), false, "aren't allowed to (AccessDenied)"],
  [s3Error("NoSuchBucket", 404), false, "there is no such bucket"],
  [
    s3Error("PermanentRedirect", 301),
    false,
    "in another region (PermanentRedirect): set --s3-region",
  ],
  [s3Error("AuthorizationHeaderMalformed", 400), false, "set --s3-region"],
  [s3Error("EntityTooLarge", 400), false, "the server answered 400 EntityTooLarge"],
])("%s is worth another try or not, and is put in words", (error, again, words) => {
  expect(isPassing(error)).toBe(again);
  expect(explain(error)).toContain(words);
});
