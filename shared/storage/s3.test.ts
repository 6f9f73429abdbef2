import { Buffer } from "node:buffer";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  DeleteObjectCommand,
  GetBucketLifecycleConfigurationCommand,
  PutBucketLifecycleConfigurationCommand,
} from "@aws-sdk/client-s3";
import { Ceph, cephMissing } from "../../tests/ceph.ts";
import { FakeClock } from "../../tests/fixtures.ts";
import { limits } from "../limits.ts";
import {
  blockText,
  closeEpochs,
  frameOf,
  newEpochOf,
  type Opened,
  Reader,
  storageContract,
} from "./contract.ts";
import { S3Storage } from "./s3.ts";
import { s3Client, type S3Sender } from "./s3_bucket.ts";
import { sdkClient } from "./s3_sdk.ts";
import { connectionReset, FakeS3, silence } from "./s3_fake.ts";
import { lifecycleRule } from "./s3_lifecycle.ts";
import { epochKey, type EpochName, segmentPath } from "./storage.ts";

const missing = cephMissing();
if (missing) console.log(`no real S3 server is used here: ${missing}`);

/** Time passes between commits, so that `committed` is put now and then. */
function opened(bucket: string, prefix: string, client: S3Sender, remove: Remove): Opened {
  let aheadMs = 0;
  const nowMs = () => Date.now() + aheadMs;
  const options = { bucket, prefix, client, intervalMs: 20, nowMs };
  return {
    storage: new S3Storage(options),
    reopen: () => Promise.resolve(new S3Storage(options)),
    cleanup: () => Promise.resolve(),
    advanceMs: (ms) => void (aheadMs += ms),
    deleteSegment: (at) => remove(`${prefix}/${segmentPath(at)}`),
  };
}

type Remove = (key: string) => Promise<void>;

storageContract("S3, as the tests' fake has it,", () => {
  const s3 = new FakeS3();
  s3.pageSize = 3;
  const remove = (key: string) => Promise.resolve(void s3.objects.delete(key));
  return Promise.resolve(opened("bucket", "some/where", s3.client, remove));
});

const text = (seq: number) => blockText("d1", seq);
const one = (seq: number) => [frameOf(text(seq))];

describe("S3", () => {
  let nowMs = Date.UTC(2026, 10, 22);

  function open(s3 = new FakeS3()) {
    const options = { bucket: "b", prefix: "p", client: s3.client, nowMs: () => nowMs };
    const storage = new S3Storage(options);
    return { s3, storage, reader: new Reader(new S3Storage(options)) };
  }

  /** Puts an object into the storage as a writer would. */
  function put(s3: FakeS3, at: EpochName, segment: number, seq: number): void {
    s3.objects.set(`p/${segmentPath({ ...at, segment })}`, one(seq)[0]!);
  }

  function say(s3: FakeS3, at: EpochName, committed: string): void {
    s3.objects.set(`p/segments/${epochKey(at)}/committed`, Buffer.from(committed));
  }

  const old = { receiver: "r1", epoch: "20261122T000000.000Z-00000000" };

  test("lists only what is new: a request for each live epoch, however much is stored", async () => {
    const { s3, storage, reader } = open();
    s3.pageSize = 10;
    const ended = await newEpochOf(storage, "r1");
    const live = await newEpochOf(storage, "r2");
    for (let seq = 0; seq < 30; seq++) {
      await ended.commit(one(seq));
      await live.commit(one(seq));
    }
    await ended.close();
    expect((await reader.readOn()).length).toBe(60);
    s3.requests.length = 0;
    expect(await reader.readOn()).toEqual([]);
    const folders = ["p/segments/", "p/segments/r1/", "p/segments/r2/"];
    expect(s3.requests.toSorted()).toEqual(
      [...folders, `p/segments/${epochKey(live)}/`].map((prefix) => `LIST ${prefix}`),
    );
  });

  test("stops before a number that isn't there, and goes on once it is", async () => {
    const { s3, reader } = open();
    for (const segment of [0, 2, 3]) put(s3, old, segment, segment);
    say(s3, old, "00000001 0\n");
    expect(await reader.readOn()).toEqual([text(0)]);
    nowMs += 86_400_000;
    put(s3, old, 4, 4);
    expect(await reader.readOn()).toEqual([]);
    put(s3, old, 1, 1);
    expect(await reader.readOn()).toEqual([1, 2, 3, 4].map(text));
  });

  test("steps over a number that isn't there only if it was known to be closed", async () => {
    const { s3, reader } = open();
    for (const segment of [7, 8, 11, 14]) put(s3, old, segment, segment);
    expect(await reader.readOn()).toEqual([]);
    say(s3, old, "00000007 0\n");
    expect(await reader.readOn()).toEqual([7, 8].map(text));
    say(s3, old, "00000010 0\n");
    expect(await reader.readOn()).toEqual([]);
    say(s3, old, "00000013 0\n");
    expect(await reader.readOn()).toEqual([text(11)]);
    say(s3, old, "00000014 15 end\n");
    expect(await reader.readOn()).toEqual([text(14)]);
  });

  test("doesn't take for deleted what came between its listing and the word that it is closed", async () => {
    const { s3, reader } = open();
    put(s3, old, 1, 1);
    say(s3, old, "00000000 0\n");
    s3.between = ({ verb, key, earlier }, proceed) => {
      const answer = proceed();
      if (verb === "LIST" && key.endsWith(`${old.epoch}/`) && earlier === 0) {
        put(s3, old, 0, 0);
        say(s3, old, "00000002 0\n");
      }
      return answer;
    };
    expect(await reader.readOn()).toEqual([0, 1].map(text));
  });

  test("is seldom asked for an epoch that never ended and says nothing", async () => {
    const { s3, reader } = open();
    put(s3, old, 0, 0);
    await reader.readOn();
    const looks = async () => {
      s3.requests.length = 0;
      const news = await reader.readOn();
      return { news, asked: s3.requests.includes(`LIST p/segments/${epochKey(old)}/`) };
    };
    expect(await looks()).toEqual({ news: [], asked: true });
    nowMs += limits.epochSilentMs + 1;
    expect(await looks()).toEqual({ news: [], asked: true });
    put(s3, old, 1, 1);
    expect(await looks()).toEqual({ news: [], asked: false });
    nowMs += limits.s3QuietMs;
    expect(await looks()).toEqual({ news: [text(1)], asked: true });
    put(s3, old, 2, 2);
    expect(await looks()).toEqual({ news: [text(2)], asked: true });
  });

  test("finds a segment for who stands before it, whoever found its epoch quiet", async () => {
    const { s3, storage } = open();
    put(s3, old, 0, 0);
    const behind = new Map([[epochKey(old), { segment: 1, offset: 0 }]]);
    await storage.list(behind);
    nowMs += limits.epochSilentMs + 1;
    for (let look = 0; look < 2; look++) expect(await storage.list(behind)).toEqual([]);
    const before = new Map([[epochKey(old), { segment: 0, offset: 5 }]]);
    expect((await storage.list(before)).map((e) => e.segment)).toEqual([0]);
  });

  test("takes no other object for a segment", async () => {
    const { s3, reader } = open();
    put(s3, old, 0, 0);
    for (const name of ["0000000a.zst", "00000001.zst.tmp", "00000001", "x/00000001", "z"]) {
      s3.objects.set(`p/segments/${epochKey(old)}/${name}`, one(9)[0]!);
    }
    s3.objects.set("p/devices", Buffer.from("x"));
    expect(await reader.readOn()).toEqual([text(0)]);
    expect(s3.requests.filter((request) => request.startsWith("GET")).length).toBe(1);
  });

  test("rejects to read in time if the answer never ends", async () => {
    const clock = new FakeClock();
    const s3 = new FakeS3();
    const storage = new S3Storage({ bucket: "b", prefix: "", client: s3.client, clock });
    let given = 0;
    s3.between = () => {
      given++;
      return { Body: { transformToByteArray: () => new Promise(() => {}) } };
    };
    let outcome = "waits";
    storage.read({ ...old, segment: 0 }, 0, 10).catch((error) => outcome = error.code);
    await clock.until(() => outcome !== "waits", limits.s3RequestMs + 1_000);
    expect(outcome).toBe("storage");
    expect(given).toBeGreaterThan(1);
  });

  test("tries again to list and to read", async () => {
    const clock = new FakeClock();
    const s3 = new FakeS3();
    const storage = new S3Storage({ bucket: "b", prefix: "", client: s3.client, clock });
    s3.objects.set(segmentPath({ ...old, segment: 0 }), one(3)[0]!);
    s3.between = (request, proceed) => {
      if (request.earlier === 0) return silence(request);
      if (request.earlier === 1) throw connectionReset();
      return proceed();
    };
    const reader = new Reader(storage);
    let read: string[] | undefined;
    void reader.readOn().then((texts) => read = texts);
    await clock.until(() => read !== undefined, 60_000);
    expect(read).toEqual([text(3)]);
  });
});

describe.each(missing ? [] : ["memstore" as const])("Ceph's radosgw (%s)", (store) => {
  let ceph: Ceph;
  beforeAll(async () => {
    ceph = await Ceph.start(store);
  });
  afterAll(() => ceph?.stop());
  const client = () => s3Client({ ...ceph, endpoint: ceph.endpoint });

  let prefixes = 0;
  const readers: [string, () => S3Sender][] = [
    ["without the SDK", client],
    ["with the SDK", () => sdkClient({ ...ceph, endpoint: ceph.endpoint })],
  ];
  for (const [how, sender] of readers) {
    storageContract(`Ceph's radosgw, read ${how},`, async () => {
      const Bucket = await ceph.sharedBucket();
      return opened(Bucket, `p/${prefixes++}`, sender(), async (Key) => {
        await ceph.client().send(new DeleteObjectCommand({ Bucket, Key }));
      });
    });
  }

  async function open(sender: S3Sender = client()) {
    const options = { bucket: await ceph.newBucket(), prefix: "", client: sender };
    const storage = new S3Storage({ ...options, tryMs: 1_000, requestMs: 2_500 });
    const epoch = await newEpochOf(storage);
    return { storage, epoch, reader: new Reader(new S3Storage(options)) };
  }

  test("shuts out or repeats what it was too slow for: nothing acknowledged is lost", async () => {
    const { storage, epoch, reader } = await open();
    await epoch.commit(one(1));
    ceph.pause("osd");
    const failed = await Promise.allSettled([2, 3].map((seq) => epoch.commit(one(seq))));
    expect(failed.map((f) => f.status)).toEqual(["rejected", "rejected"]);
    await expect(epoch.probe()).rejects.toMatchObject({ code: "storage" });
    ceph.resume("osd");
    while (await epoch.probe().then(() => false, () => true));
    await epoch.commit(one(4));
    await epoch.close();
    await reader.readOn();
    const read = reader.of(epoch);
    expect(read.filter((one) => one === text(1) || one === text(4))).toEqual([text(1), text(4)]);
    expect(new Set(read).size).toBe(read.length);
    expect(reader.damage).toEqual([]);
    // All numbers are there, those that were given up as well.
    const extents = await storage.list(new Map());
    expect(extents.map((e) => e.segment)).toEqual([0, 1, 2, 3, 4]);
    await closeEpochs();
  });

  test("stores once what it had stored when the connection broke", async () => {
    const real = client();
    let broken = 0;
    const sender = {
      async send(command: object, options: object) {
        const answer = await real.send(command as never, options);
        const isPut = command.constructor.name === "PutObjectCommand";
        if (isPut && broken++ % 2 === 0) throw connectionReset();
        return answer;
      },
    } as unknown as S3Sender;
    const { epoch, reader } = await open(sender);
    for (const seq of [1, 2, 3]) await epoch.commit(one(seq));
    expect(await reader.readOn()).toEqual([1, 2, 3].map(text));
    expect(broken).toBeGreaterThan(3);
  });

  test("takes the lifecycle rule, and says it back", async () => {
    const Bucket = await ceph.newBucket();
    const LifecycleConfiguration = JSON.parse(lifecycleRule("logs", 60));
    const admin = ceph.client();
    const command = { Bucket, LifecycleConfiguration };
    await admin.send(new PutBucketLifecycleConfigurationCommand(command));
    const { Rules } = await admin.send(new GetBucketLifecycleConfigurationCommand({ Bucket }));
    expect(Rules!.length).toBe(1);
    expect(Rules![0]!).toMatchObject({
      Status: "Enabled",
      Expiration: { Days: 60 },
      NoncurrentVersionExpiration: { NoncurrentDays: 1 },
    });
    expect(Rules![0]!.Filter?.Prefix ?? Rules![0]!.Prefix).toBe("logs/segments/");
  });
});
