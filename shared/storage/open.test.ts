import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Ceph, cephMissing } from "../../tests/ceph.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { bunPath, denoPath, root } from "../../tests/programs.ts";
import { helpText, parseOptions } from "../options.ts";
import { FolderStorage } from "./folder.ts";
import { openStorage, parseS3Place, s3Options } from "./open.ts";

const run = promisify(execFile);
const missing = cephMissing();
if (missing) console.log(`no storage on a real S3 server is opened here: ${missing}`);

/** Opens a place in a process of its own, which alone has the keys; what that said is returned. */
async function openThere(env: Record<string, string>, place: string, ...args: string[]) {
  const script = `
    import { openStorage, s3Options } from "./shared/storage/open.ts";
    import { parseOptions } from "./shared/options.ts";
    const [place, ...rest] = process.argv.slice(1);
    try {
      const storage = await openStorage(place, parseOptions(s3Options, rest).values);
      const epoch = await storage.createEpoch("r1");
      await epoch.close();
      console.log((await storage.list(new Map())).length + " segment, pace " + epoch.pace.companyMs);
    } catch (error) {
      console.log(error.name + ": " + error.message);
    }
    process.exit(0);`;
  const bare = {
    PATH: process.env["PATH"]!,
    HOME: "/nonexistent",
    AWS_EC2_METADATA_DISABLED: "true",
  };
  const { stdout } = await run(bunPath, ["-e", script, place, ...args], {
    cwd: root,
    env: { ...bare, ...env },
  });
  return stdout.trim();
}

describe("openStorage", () => {
  test("opens a folder, and loads nothing of S3 for it; the SDK only to write", async () => {
    using folder = new TemporaryFolder();
    expect(await openStorage(folder.path)).toBeInstanceOf(FolderStorage);
    const script = `
      import { openStorage } from "./shared/storage/open.ts";
      await openStorage(process.argv[1]);
      const loaded = () => Object.keys(require.cache).filter((path) => path.includes("aws-sdk"));
      console.log(loaded().length);
      await import("./shared/storage/s3.ts");
      console.log(loaded().length);
      await import("./shared/storage/s3_sdk.ts");
      console.log(loaded().length > 0);`;
    const { stdout } = await run(bunPath, ["-e", script, folder.path], { cwd: root });
    expect(stdout).toBe("0\n0\ntrue\n");
  });

  test.each([
    ["s3://logs", { bucket: "logs", prefix: "" }],
    ["s3://logs/", { bucket: "logs", prefix: "" }],
    ["s3://my.logs-1/city/berlin", { bucket: "my.logs-1", prefix: "city/berlin" }],
    ["s3://logs/city//", { bucket: "logs", prefix: "city" }],
    ["./s3/logs", undefined],
    ["/data", undefined],
  ])("reads the place %s", (place, expected) => {
    expect(parseS3Place(place)).toEqual(expected);
  });

  test.each(["s3://", "s3:///x", "s3://UPPER/x", "s3://a", "s3://lo_gs/x"])(
    "refuses the place %s: it names no bucket",
    async (place) => {
      await expect(openStorage(place)).rejects.toThrow(
        `it must be s3://BUCKET/PREFIX: it is ${place}`,
      );
    },
  );

  test.each(["localhost:9000", "ftp://localhost", "", "nonsense"])(
    "refuses the endpoint %s",
    async (endpoint) => {
      await expect(openStorage("s3://logs", { "s3-endpoint": endpoint })).rejects.toThrow(
        `it must be an http or https URL: it is ${endpoint}`,
      );
    },
  );

  test("takes its options from a command line, with defaults", () => {
    const { values } = parseOptions(s3Options, ["--s3-endpoint", "http://h:1"]);
    expect(values).toEqual({
      "s3-endpoint": "http://h:1",
      "s3-region": "us-east-1",
      "s3-interval": 500,
    });
    expect(helpText("", s3Options)).toContain("--s3-interval MS");
  });

  test("says that there are no keys", async () => {
    expect(await openThere({}, "s3://logs/x", "--s3-endpoint", "http://127.0.0.1:1")).toBe(
      "StorageError: Cannot use s3://logs/x/: there are no keys: " +
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
  });

  test("says within seconds that nothing answers", async () => {
    const keys = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };
    expect(await openThere(keys, "s3://logs", "--s3-endpoint", "http://127.0.0.1:1")).toBe(
      "StorageError: Cannot use s3://logs/: nothing answers (ECONNREFUSED): " +
        "check --s3-endpoint and that it runs",
    );
  }, 20_000);
});

describe.each(missing ? [] : ["radosgw"])("openStorage on Ceph's %s", () => {
  let ceph: Ceph;
  let bucket: string;
  beforeAll(async () => {
    ceph = await Ceph.start("memstore");
    bucket = await ceph.newBucket();
  });
  afterAll(() => ceph?.stop());

  const keys = (secret = ceph.credentials.secretAccessKey) => ({
    AWS_ACCESS_KEY_ID: ceph.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: secret,
  });

  test("takes keys from the environment", async () => {
    const args = ["--s3-endpoint", ceph.endpoint, "--s3-interval", "250"];
    expect(await openThere(keys(), `s3://${bucket}/a/b`, ...args)).toBe("1 segment, pace 250");
  });

  test("says that the bucket isn't there", async () => {
    const args = ["--s3-endpoint", ceph.endpoint];
    expect(await openThere(keys(), "s3://nothing-here", ...args)).toBe(
      "StorageError: Cannot use s3://nothing-here/: there is no such bucket: " +
        "make it, or name another one",
    );
  });

  test("says that a key is wrong", async () => {
    const args = ["--s3-endpoint", ceph.endpoint];
    expect(await openThere(keys("wrong"), `s3://${bucket}`, ...args)).toBe(
      `StorageError: Cannot use s3://${bucket}/: the server doesn't know these keys ` +
        "(SignatureDoesNotMatch): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
    const unknown = { ...keys(), AWS_ACCESS_KEY_ID: "NOBODY" };
    expect(await openThere(unknown, `s3://${bucket}`, ...args)).toContain("(InvalidAccessKeyId)");
  });

  test("says at the first epoch that these keys may only read", async () => {
    const reader = await ceph.addReader(bucket);
    const env = {
      AWS_ACCESS_KEY_ID: reader.accessKeyId,
      AWS_SECRET_ACCESS_KEY: reader.secretAccessKey,
    };
    const said = await openThere(env, `s3://${bucket}`, "--s3-endpoint", ceph.endpoint);
    expect(said).toMatch(
      /^StorageError: Cannot write s3:.*committed: these keys aren't allowed to/,
    );
  });

  test("reads under Deno with the permissions that README names", async () => {
    const script = `
      import { openStorage } from "./shared/storage/open.ts";
      const storage = await openStorage(Deno.args[0], { "s3-endpoint": Deno.args[1] });
      const extents = await storage.list(new Map());
      const bytes = await storage.read(extents[0], 0, extents[0].length);
      console.log(extents.length, bytes.length === extents[0].length);
      Deno.exit(0);`;
    const args = ["--s3-endpoint", ceph.endpoint];
    await openThere(keys(), `s3://${bucket}/deno`, ...args);
    const host = new URL(ceph.endpoint).host;
    const permissions = ["--allow-read", "--allow-env", "--allow-sys", `--allow-net=${host}`];
    const words = ["run", "--no-check", "--no-prompt", ...permissions, "-"];
    const reading = run(denoPath, [...words, `s3://${bucket}/deno`, ceph.endpoint], {
      cwd: root,
      env: { ...process.env, ...keys() },
    });
    reading.child.stdin!.end(script);
    const { stdout } = await reading;
    expect(stdout).toBe("1 true\n");
  });
});
