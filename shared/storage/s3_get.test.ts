import { Buffer } from "node:buffer";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CreateBucketCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { Ceph, cephMissing } from "../../tests/ceph.ts";
import { explain, isPassing } from "./s3_errors.ts";
import { FetchReader, keysOf } from "./s3_get.ts";

const keys = { accessKeyId: "AKID", secretAccessKey: "SECRET" };
const never = new AbortController().signal;
const nowMs = () => Date.UTC(2026, 10, 22, 12);

/** A reader whose requests are kept, and answered in turn. */
function reading(answers: (Response | Error)[], more: object = {}) {
  const sent: { url: URL; headers: Headers }[] = [];
  const send = (url: URL, { headers }: { headers: Headers }) => {
    sent.push({ url, headers });
    const answer = answers.shift()!;
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const options = { endpoint: "http://h:7480", region: "us-east-1", keys, nowMs, ...more };
  return { sent, reader: new FetchReader({ ...options, fetch: send as never }) };
}

async function failureOf(answer: Response | Error): Promise<Error> {
  const { reader } = reading([answer]);
  return await reader.get("b", "k", "bytes=0-9", never).then(() => expect.unreachable(), (e) => e);
}

describe("a reader without the SDK", () => {
  test("asks for a range of an object, signed for the day, the region and the host", async () => {
    const { reader, sent } = reading([new Response("0123", { status: 206 })]);
    const bytes = await reader.get("b", "a b/ü+1.zst", "bytes=0-3", never);
    expect(Buffer.from(bytes).toString()).toBe("0123");
    const [{ url, headers }] = sent as [typeof sent[0]];
    expect(url.href).toBe("http://h:7480/b/a%20b/%C3%BC%2B1.zst");
    expect(headers.get("range")).toBe("bytes=0-3");
    expect(headers.get("x-amz-date")).toBe("20261122T120000Z");
    expect(headers.get("authorization")).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKID\/20261122\/us-east-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}$/,
    );
  });

  test.each([
    ["us-east-1", "logs", "https://logs.s3.us-east-1.amazonaws.com/k"],
    ["cn-north-1", "logs", "https://logs.s3.cn-north-1.amazonaws.com.cn/k"],
    ["eu-west-1", "my.logs", "https://s3.eu-west-1.amazonaws.com/my.logs/k"],
  ])("finds AWS in %s, bucket %s, at %s", async (region, bucket, href) => {
    const { reader, sent } = reading([new Response("")], { endpoint: undefined, region });
    await reader.get(bucket, "k", "bytes=0-0", never);
    expect(sent[0]!.url.href).toBe(href);
  });

  test("reads a page of a listing, whatever stands in its names", async () => {
    const xml = `<?xml version="1.0"?><ListBucketResult xmlns="x"><Name>b</Name><Prefix>p/</Prefix>
      <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken>
      <Contents><Key>p/a&amp;&#x41;&lt;</Key><ETag>&quot;e1&quot;</ETag><Size>12</Size></Contents>
      <Contents><Key>p/b</Key><Size>0</Size><ETag>e2</ETag></Contents>
      <CommonPrefixes><Prefix>p/c/</Prefix></CommonPrefixes></ListBucketResult>`;
    const { reader, sent } = reading([new Response(xml), new Response("<IsTruncated>false")]);
    const query = { bucket: "b", prefix: "p/", startAfter: "p/0 +", delimiter: "/", maxKeys: 2 };
    expect(await reader.list(query, never)).toEqual({
      objects: [{ key: "p/a&A<", size: 12, etag: '"e1"' }, { key: "p/b", size: 0, etag: "e2" }],
      prefixes: ["p/c/"],
      next: "a&b",
    });
    expect(sent[0]!.url.search).toBe(
      "?list-type=2&prefix=p%2F&start-after=p%2F0%20%2B&delimiter=%2F&max-keys=2",
    );
    expect((await reader.list({ ...query, token: "a&b" }, never)).next).toBeUndefined();
    expect(sent[1]!.url.searchParams.get("continuation-token")).toBe("a&b");
  });

  const xmlOf = (code: string) => `<Error><Code>${code}</Code><Message>m</Message></Error>`;
  test.each([
    [
      "a missing bucket",
      new Response(xmlOf("NoSuchBucket"), { status: 404 }),
      "no such bucket",
      false,
    ],
    [
      "a wrong key",
      new Response(xmlOf("SignatureDoesNotMatch"), { status: 403 }),
      "know these keys",
      false,
    ],
    [
      "a gateway in between",
      new Response("<html>", { status: 502 }),
      "the server answered 502 Status502",
      true,
    ],
    ["another region", new Response("", { status: 301 }), "in another region (Status301)", false],
    [
      "Bun's refused connection",
      Object.assign(new Error("Unable to connect"), { code: "ConnectionRefused" }),
      "nothing answers (ECONNREFUSED)",
      true,
    ],
    [
      "Deno's unknown host",
      new TypeError("error sending request: client error (Connect): dns error: failed to lookup"),
      "nothing answers (ENOTFOUND)",
      true,
    ],
    ["what nobody knows", new Error("what is this"), "nothing answers (what is this)", true],
    [
      "half an answer",
      new Response("half", { headers: { "content-length": "8" } }),
      "nothing answers (4 of 8 bytes came)",
      true,
    ],
  ])("says of %s what the SDK would", async (_, answer, words, again) => {
    const error = await failureOf(answer);
    expect(explain(error)).toContain(words);
    expect(isPassing(error)).toBe(again);
  });

  test("signs by the server's clock after it was told that its own is wrong", async () => {
    const date = new Date(nowMs() + 3_600_000).toUTCString();
    const refused = new Response(xmlOf("RequestTimeTooSkewed"), { status: 403, headers: { date } });
    const { reader, sent } = reading([refused, new Response("x")]);
    await expect(reader.get("b", "k", "bytes=0-0", never)).rejects.toThrow("m");
    await reader.get("b", "k", "bytes=0-0", never);
    expect(sent[1]!.headers.get("x-amz-date")).toBe("20261122T130000Z");
  });

  test("has a bound on its requests, and asks nothing for who has given up", async () => {
    const waiting: ((answer: Response) => void)[] = [];
    const send = () => new Promise<Response>((resolve) => waiting.push(resolve));
    const reader = new FetchReader({ region: "r", keys, fetch: send as never });
    const gone = new AbortController();
    const all = Array.from({ length: 40 }, (_, i) => {
      return reader.get("b", `${i}`, "bytes=0-0", i < 20 ? never : gone.signal).catch(() => "gone");
    });
    gone.abort();
    for (let i = 0; i < 20; i++) {
      await until(() => waiting.length >= Math.min(20, 16 + i));
      expect(waiting.length).toBe(Math.min(20, 16 + i));
      waiting[i]!(new Response("x"));
    }
    const answers = await Promise.all(all);
    expect(answers.slice(20)).toEqual(Array(20).fill("gone"));
    expect(waiting.length).toBe(20);
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((turn) => setImmediate(turn));
}

test("keys come from the environment, unless they are to be looked for elsewhere", () => {
  const env = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };
  expect(keysOf(env)).toEqual({ accessKeyId: "a", secretAccessKey: "b", sessionToken: undefined });
  expect(keysOf({ ...env, AWS_SESSION_TOKEN: "c" })?.sessionToken).toBe("c");
  for (const name of ["AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]) {
    expect(keysOf({ ...env, [name]: "x" })).toBeUndefined();
  }
  expect(keysOf({ AWS_ACCESS_KEY_ID: "a" })).toBeUndefined();
});

const missing = cephMissing();
if (missing) console.log(`nothing is read from a real S3 server here: ${missing}`);

describe.each(missing ? [] : ["radosgw"])("a reader without the SDK, on Ceph's %s,", () => {
  let ceph: Ceph;
  beforeAll(async () => void (ceph = await Ceph.start("memstore")));
  afterAll(() => ceph?.stop());

  test("reads and lists names with all sorts of characters", async () => {
    const { endpoint, region, credentials } = ceph;
    const client = ceph.client();
    const bucket = "odd-names";
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    const names = ["a b", "a+b", "ü/é", "x&y<z>", "q'(1)*!", "100%"].map((name) => `p/${name}`);
    for (const name of names) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: name, Body: name }));
    }
    const reader = new FetchReader({ endpoint, region, keys: credentials });
    for (const name of names) {
      const bytes = await reader.get(bucket, name, "bytes=2-99", never);
      expect(Buffer.from(bytes).toString()).toBe(name.slice(2));
    }
    const found: string[] = [];
    let token: string | undefined;
    do {
      const page = await reader.list({ bucket, prefix: "p/", maxKeys: 2, token }, never);
      found.push(...page.objects.map(({ key }) => key));
      token = page.next;
    } while (token !== undefined);
    expect(found.sort()).toEqual(names.toSorted());
  });
});
