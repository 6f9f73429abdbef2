import { once } from "node:events";
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Ceph, cephMissing } from "../tests/ceph.ts";
import { SdkBucket } from "./allowlist_bucket.ts";
import { testPlaces } from "./allowlist_contract.ts";
import { bucketPlaces } from "./allowlist_object.ts";
import { s3Client } from "./storage/s3_bucket.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const credentials = { accessKeyId: "AKIDTEST", secretAccessKey: "SECRETTEST" };

/** A bucket on a server that gives one answer to all, and the requests that came. */
async function answering(answer: Answer, requestMs?: number) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    request.resume();
    request.on("end", () => answer(request, response));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = s3Client({ endpoint, region: "us-east-1", credentials });
  return {
    bucket: new SdkBucket(client, "fleet", requestMs),
    requests,
    [Symbol.dispose]() {
      client.destroy();
      server.closeAllConnections();
      server.close();
    },
  };
}

const failing = (status: number, code: string): Answer => (_request, response) => {
  response.writeHead(status, { "Content-Type": "application/xml" });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`);
};
const etag = '"0123456789abcdef0123456789abcdef"';

describe("a bucket behind the SDK", () => {
  test("asks for an object unless it still has its ETag, and takes 304 for unchanged", async () => {
    using s3 = await answering((_request, response) => response.writeHead(304).end());
    expect(await s3.bucket.get("devices", etag)).toBe("unchanged");
    expect(s3.requests[0]!.headers["if-none-match"]).toBe(etag);
    expect(s3.requests[0]!.url).toStartWith("/fleet/devices");
  });

  test("takes a missing object for missing, but not a missing bucket or a refusal", async () => {
    using gone = await answering(failing(404, "NoSuchKey"));
    expect(await gone.bucket.get("devices")).toBe("missing");
    for (const [status, code] of [[404, "NoSuchBucket"], [403, "AccessDenied"]] as const) {
      using s3 = await answering(failing(status, code));
      const error = await s3.bucket.get("devices").catch((error) => error);
      expect(error).toBeInstanceOf(Error);
      expect(await s3.bucket.keys("", 1).catch((error) => error)).toBeInstanceOf(Error);
    }
  });

  test("gives an object's text and ETag, a byte order mark too", async () => {
    using s3 = await answering((_request, response) => {
      response.writeHead(200, { ETag: etag, "Content-Length": 6 }).end("\ufeffZü");
    });
    expect(await s3.bucket.get("devices")).toEqual({ text: "\ufeffZü", stamp: etag });
  });

  test("doesn't give an object that came in part", async () => {
    using s3 = await answering((request, response) => {
      response.writeHead(200, { ETag: etag, "Content-Length": 100 });
      response.write("half of it\n");
      setImmediate(() => request.socket.destroy());
    });
    expect(await s3.bucket.get("devices").catch((error) => error)).toBeInstanceOf(Error);
  });

  test("doesn't wait for an answer, or for the rest of one, beyond its time", async () => {
    using silent = await answering(() => {}, 50);
    expect(await silent.bucket.get("devices").catch((error) => error)).toBeInstanceOf(Error);
    const put = silent.bucket.put("devices", "x\n", "missing");
    expect(await put.catch((error) => error)).toBeInstanceOf(Error);
    using stalled = await answering((_request, response) => {
      response.writeHead(200, { ETag: etag, "Content-Length": 100 });
      response.write("half of it\n");
    }, 50);
    expect(await stalled.bucket.get("devices").catch((error) => error)).toBeInstanceOf(Error);
  });

  test("doesn't rely on its client to tell a whole body from a part, or to end in time", async () => {
    const client = (body: Readable) => {
      const Body = Object.assign(body, { transformToByteArray: () => buffer(body) });
      return { send: () => Promise.resolve({ Body, ContentLength: 100, ETag: etag }) } as never;
    };
    const part = new SdkBucket(client(Readable.from([Buffer.from("half of it\n")])), "fleet");
    const error = await part.get("devices").catch((error) => error);
    expect((error as Error).message).toBe("11 of 100 bytes came");
    const silent = new SdkBucket(client(new Readable({ read() {} })), "fleet", 50);
    expect(await silent.get("devices").catch((error) => error)).toBeInstanceOf(Error);
  });

  test("doesn't take an object that is too long for a list", async () => {
    using s3 = await answering((_request, response) => {
      response.writeHead(200, { ETag: etag, "Content-Length": 300 * 1024 * 1024 });
      response.write("beginning\n");
    });
    const error = await s3.bucket.get("devices").catch((error) => error);
    expect((error as Error).message).toContain("more than");
  });

  test("puts on the condition that nothing changed, and tells when it doesn't hold", async () => {
    using good = await answering((_request, response) => response.writeHead(200).end());
    expect(await good.bucket.put("devices", "x\n", { etag })).toBe(true);
    expect(await good.bucket.put("devices", "x\n", "missing")).toBe(true);
    expect(good.requests.map(({ headers }) => [headers["if-match"], headers["if-none-match"]]))
      .toEqual([[etag, undefined], [undefined, "*"]]);
    const lost = [
      [412, "PreconditionFailed"],
      [409, "ConditionalRequestConflict"],
      [404, "NoSuchKey"],
    ] as const;
    for (const [status, code] of lost) {
      using s3 = await answering(failing(status, code));
      expect(await s3.bucket.put("devices", "x\n", { etag })).toBe(false);
    }
    // A server that wants the ETag without its quotes.
    using bare = await answering((request, response) =>
      request.headers["if-match"] === etag.slice(1, -1)
        ? response.writeHead(200).end()
        : failing(412, "PreconditionFailed")(request, response)
    );
    expect(await bare.bucket.put("devices", "x\n", { etag })).toBe(true);
    using down = await answering(failing(503, "SlowDown"));
    expect(await down.bucket.put("devices", "x\n", { etag }).catch((error) => error))
      .toBeInstanceOf(Error);
  });
});

test("a bucket that answers 500 to a write is asked what became of it", async () => {
  const after = async (text: string, etagNow: string) => {
    using s3 = await answering((request, response) =>
      request.method === "PUT"
        ? failing(500, "UnknownError")(request, response)
        : response.writeHead(200, { ETag: etagNow, "Content-Length": text.length }).end(text)
    );
    return await s3.bucket.put("devices", "mine\n", { etag }).catch(({ message }) => message);
  };
  expect(await after("mine\n", '"new"')).toBe(true);
  expect(await after("another's\n", '"new"')).toBe(false);
  expect(await after("old\n", etag)).toContain("500");
});

const noCeph = cephMissing();
if (noCeph) console.warn(`skipped: the allow-list in a real bucket: ${noCeph}`);

describe.skipIf(noCeph !== undefined)("with Ceph's radosgw:", () => {
  let ceph: Ceph;
  beforeAll(async () => {
    ceph = await Ceph.start("memstore");
  });
  afterAll(() => ceph?.stop());

  testPlaces("a real bucket", async () => {
    const name = await ceph.newBucket();
    const clients = { good: ceph.client(), bad: ceph.client("http://127.0.0.1:1") };
    let client = clients.good;
    const send = ((...args: Parameters<S3Client["send"]>) => client.send(...args)) as never;
    const places = () => bucketPlaces(new SdkBucket({ send }, name), "some/prefix/");
    return {
      places: places(),
      reopen: () => Promise.resolve(places()),
      breakDown() {
        client = clients.bad;
        return () => client = clients.good;
      },
      cleanup: () => Promise.resolve(),
    };
  });
});
