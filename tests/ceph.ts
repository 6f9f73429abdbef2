/**
 * A real S3 server for tests: one Ceph of three processes (monitor, OSD, radosgw) in a temporary
 * folder, on free ports of the loopback, from Debian's packages. Each process can be killed and
 * started again on its own.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { once } from "node:events";
import {
  CreateBucketCommand,
  ListBucketsCommand,
  PutBucketPolicyCommand,
  S3Client,
} from "@aws-sdk/client-s3";

const run = promisify(execFile);
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const programs = ["monmaptool", "ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin"];
const startMsMax = 60_000;

/** Why no Ceph can run here; undefined if one can. */
export function cephMissing(): string | undefined {
  const missing = programs.filter((program) => !onPath(program));
  if (missing.length > 0) {
    return `${missing.join(", ")} not in PATH (Debian: ceph-mon ceph-osd radosgw ceph-common)`;
  }
  return process.getuid?.() === 0 ? undefined : "Ceph's processes are started as root";
}

function onPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export type CephProcess = "mon" | "osd" | "radosgw";

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class Ceph {
  readonly credentials = { accessKeyId: "AKIDTEST", secretAccessKey: "SECRETTEST" };
  readonly region = "us-east-1";
  readonly #processes = new Map<CephProcess, ChildProcess>();
  /** These are to be dead; any other that ends is started again. */
  readonly #killed = new Set<CephProcess>();
  readonly #clients: S3Client[] = [];
  #buckets = 0;
  #shared: Promise<string> | undefined;

  private constructor(
    private readonly folder: string,
    private readonly port: number,
  ) {}

  /** `memstore` keeps nothing when the OSD ends, `bluestore` is as good as a disk. */
  static async start(store: "memstore" | "bluestore"): Promise<Ceph> {
    const folder = mkdtempSync(join(tmpdir(), "logmill-ceph-"));
    const ceph = new Ceph(folder, await freePort());
    try {
      await ceph.#make(store, await freePort());
    } catch (error) {
      await ceph.stop();
      throw error;
    }
    return ceph;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** A client of the test's own, that doesn't retry. */
  client(endpoint = this.endpoint): S3Client {
    const { region, credentials } = this;
    const client = new S3Client({
      endpoint,
      region,
      credentials,
      forcePathStyle: true,
      maxAttempts: 1,
      requestChecksumCalculation: "WHEN_REQUIRED",
    });
    this.#clients.push(client);
    return client;
  }

  /** The name of a fresh bucket. */
  async newBucket(): Promise<string> {
    const Bucket = `test-${++this.#buckets}`;
    await this.client().send(new CreateBucketCommand({ Bucket }));
    return Bucket;
  }

  /** The name of one bucket for those who keep to a prefix. */
  sharedBucket(): Promise<string> {
    return this.#shared ??= this.newBucket();
  }

  /** The keys of a user who may read this bucket, and no more. */
  async addReader(Bucket: string): Promise<{ accessKeyId: string; secretAccessKey: string }> {
    const keys = { accessKeyId: "AKIDREADER", secretAccessKey: "SECRETREADER" };
    await this.#createUser("reader", keys);
    const Policy = JSON.stringify({
      Version: "2012-10-17",
      Statement: [{
        Effect: "Allow",
        Principal: { AWS: ["arn:aws:iam:::user/reader"] },
        Action: ["s3:ListBucket", "s3:GetObject"],
        Resource: [`arn:aws:s3:::${Bucket}`, `arn:aws:s3:::${Bucket}/*`],
      }],
    });
    await this.client().send(new PutBucketPolicyCommand({ Bucket, Policy }));
    return keys;
  }

  /** SIGKILL; resolves when it is dead. */
  async kill(name: CephProcess): Promise<void> {
    this.#killed.add(name);
    const child = this.#processes.get(name)!;
    if (!running.has(child)) return;
    const dead = once(child, "exit");
    child.kill("SIGKILL");
    await dead;
  }

  /** Starts what was killed; resolves when all of it answers again. */
  async restart(name: CephProcess): Promise<void> {
    await this.kill(name);
    this.#spawn(name);
    if (name === "osd") await this.#osdUp();
    await this.#serves();
  }

  /** It hangs: connections stay, nothing is answered. */
  pause(name: CephProcess): void {
    process.kill(this.#processes.get(name)!.pid!, "SIGSTOP");
  }

  resume(name: CephProcess): void {
    process.kill(this.#processes.get(name)!.pid!, "SIGCONT");
  }

  /** Kills all, and leaves nothing behind. */
  async stop(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    for (const name of this.#processes.keys()) await this.kill(name);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #make(store: string, monPort: number): Promise<void> {
    const { folder } = this;
    const ids = { cluster: randomUUID(), osd: randomUUID() };
    for (const name of ["mon", "osd/0", "run", "log", "rgw"]) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    writeFileSync(this.#conf, configuration(folder, ids.cluster, store, monPort, this.port));
    const map = join(folder, "monmap");
    const address = `v1:127.0.0.1:${monPort}`;
    const mapArgs = ["--create", "--clobber", "--fsid", ids.cluster, "--addv", "a", address, map];
    await run("monmaptool", mapArgs);
    const keyring = ["--keyring", "/dev/null"];
    await run("ceph-mon", ["-c", this.#conf, "--mkfs", "-i", "a", "--monmap", map, ...keyring]);
    this.#spawn("mon");
    // A monitor that has just begun may answer that it doesn't know its commands yet.
    await this.#until("the monitor answers", () => this.#ceph("osd", "new", ids.osd));
    const mkfs = ["-i", "0", "--mkfs", "--osd-uuid", ids.osd, "--no-mon-config"];
    await run("ceph-osd", ["-c", this.#conf, ...mkfs]);
    this.#spawn("osd");
    await this.#osdUp();
    this.#spawn("radosgw");
    await this.#createUser("owner", this.credentials);
    await this.#serves();
  }

  get #conf(): string {
    return join(this.folder, "ceph.conf");
  }

  #spawn(name: CephProcess): void {
    const [program, ...args] = {
      mon: ["ceph-mon", "-i", "a"],
      osd: ["ceph-osd", "-i", "0"],
      radosgw: ["radosgw", "-n", "client.rgw"],
    }[name] as [string, ...string[]];
    const all = ["-c", this.#conf, "-f", ...args];
    const child = spawn(program, all, { stdio: "ignore" });
    running.add(child);
    child.once("exit", () => running.delete(child));
    this.#processes.set(name, child);
    this.#killed.delete(name);
  }

  /** An OSD that speaks to the monitor before it has its map dies with `wrong fsid`: once more. */
  #revive(): void {
    for (const [name, child] of this.#processes) {
      if (!running.has(child) && !this.#killed.has(name)) this.#spawn(name);
    }
  }

  #ceph(...words: string[]): Promise<{ stdout: string }> {
    return run("ceph", ["-c", this.#conf, ...words], { timeout: 5_000 });
  }

  async #osdUp(): Promise<void> {
    await this.#until("the OSD is up", async () => {
      const { stdout } = await this.#ceph("osd", "dump", "--format", "json");
      const [osd] = (JSON.parse(stdout) as { osds: Array<{ up: number }> }).osds;
      if (osd?.up !== 1) throw new Error(stdout);
    });
  }

  async #createUser(
    name: string,
    keys: { accessKeyId: string; secretAccessKey: string },
  ): Promise<void> {
    const user = ["user", "create", `--uid=${name}`, `--display-name=${name}`];
    const secrets = ["--access-key", keys.accessKeyId, "--secret-key", keys.secretAccessKey];
    await run("radosgw-admin", ["-c", this.#conf, "-n", "client.rgw", ...user, ...secrets]);
  }

  /** An OSD that is up doesn't answer yet: first it goes through what it has. */
  #serves(): Promise<void> {
    const client = this.client();
    return this.#until("radosgw and OSD answer", () => {
      const abortSignal = AbortSignal.timeout(5_000);
      return client.send(new ListBucketsCommand({}), { abortSignal });
    });
  }

  async #until(what: string, check: () => Promise<unknown>): Promise<void> {
    const endMs = performance.now() + startMsMax;
    for (;;) {
      try {
        this.#revive();
        await check();
        return;
      } catch (error) {
        if (performance.now() > endMs) {
          throw new Error(`Cannot start Ceph because ${what}: it didn't in ${startMsMax} ms`, {
            cause: error,
          });
        }
        await sleep(50);
      }
    }
  }
}

/** Not one of those that connections take: it must be free again after a restart. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer().listen(port, "127.0.0.1");
    const free = await once(server, "listening").then(() => true, () => false);
    await new Promise((closed) => server.close(closed));
    if (free) return port;
  }
}

/** One copy of everything, no keys between the processes, and no waiting for others. */
function configuration(
  folder: string,
  fsid: string,
  store: string,
  monPort: number,
  port: number,
): string {
  return `[global]
fsid = ${fsid}
mon_initial_members = a
mon_host = v1:127.0.0.1:${monPort}/0
public_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr2 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
mon_data = ${folder}/mon/$id
osd_data = ${folder}/osd/$id
run_dir = ${folder}/run
admin_socket = ${folder}/run/$name.asok
log_file = ${folder}/log/$name.log
log_to_stderr = false
log_to_file = true
pid_file =
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
mon_tick_interval = 1
osd_mon_report_interval = 1
mon_osd_min_down_reporters = 1
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_objectstore = ${store}
osd_class_load_list = *
osd_class_default_list = *
osd_check_max_object_name_len_on_startup = false
memstore_device_bytes = 4294967296
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
bluestore_block_size = 4294967296
bluestore_block_create = true
bluestore_block_wal_create = false
bluestore_block_db_create = false
bluestore_fsck_on_mkfs = false
[osd]
monmap = ${folder}/monmap
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:${port} tcp_nodelay=1
rgw_data = ${folder}/rgw
rgw_enable_usage_log = false
rgw_run_sync_thread = false
rgw_rados_pool_pg_num_min = 4
`;
}
