import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Pipeline } from "../agent/pipeline.ts";
import type { Source } from "../agent/source.ts";
import { AllowList } from "../shared/allowlist.ts";
import { FilePlace } from "../shared/allowlist_file.ts";
import { readBlocks } from "../shared/block.ts";
import { forEachRecord, type Gap, type LogRecord, parseGap } from "../shared/record.ts";
import { readNew } from "../shared/segment_reader.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { signToken } from "../shared/token.ts";
import { newIdentity, TemporaryFolder } from "./fixtures.ts";
import { newReceiver } from "./receiver.ts";
import { allowDevices } from "./fleet/allow.ts";
import { verify } from "./verify/verify.ts";

const spoolBytes = 1024 * 1024;

/** Lines that zstd makes hardly smaller, as they are asked for; nothing keeps them but the spool. */
class Chatter implements Source {
  readonly source = "kmsg";
  readonly boot = "boot-1";
  readonly stream = "boot-1";
  written = 0;
  #asked: Array<(records: LogRecord[] | undefined) => void> = [];

  read(): Promise<LogRecord[] | undefined> {
    return new Promise((resolve) => this.#asked.push(resolve));
  }

  /** Gone if nobody takes it, as in a small ring. */
  safe(): boolean {
    return false;
  }

  /** Writes so many lines of 300 bytes; resolves when the agent has taken them. */
  async say(lines: number): Promise<void> {
    const records = Array.from({ length: lines }, (): LogRecord => {
      const seq = this.written++;
      const text = randomBytes(225).toString("base64");
      return { prio: 6, seq, usec: seq, flag: "-", fields: "", text, more: [] };
    });
    const asked = await this.#nextAsked();
    asked(records);
  }

  close(): void {
    void this.#nextAsked().then((asked) => asked(undefined));
  }

  async #nextAsked() {
    while (this.#asked.length === 0) await new Promise((next) => setImmediate(next));
    return this.#asked.shift()!;
  }
}

async function setUp(data: string) {
  const identity = await newIdentity();
  const list = join(data, "devices");
  allowDevices(list, [{ thumbprint: identity.thumbprint, name: "router", labels: {} }]);
  const allowed = await AllowList.open(new FilePlace(list));
  const sink = await new FolderStorage(data).createEpoch("r");
  const { receiver, admission, commits } = newReceiver({
    sink,
    allowed: (thumbprint) => allowed.get(thumbprint),
  });
  const network = { up: true, modes: [] as string[] };
  const cuts = new Set<AbortController>();
  const source = new Chatter();
  const pipeline = new Pipeline({
    source,
    spoolBytes,
    receivers: ["http://receiver"],
    token: (nowMs) => signToken(identity, "logmill", nowMs),
    kernelUs: () => source.written,
    wallSynced: () => true,
    report: () => {},
    clock: {
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    },
    random: Math.random,
    fetch: (async (url: string, init: RequestInit) => {
      if (!network.up) throw new Error("no network");
      network.modes.push(new Headers(init.headers).get("Logmill-Mode")!);
      const cut = new AbortController();
      cuts.add(cut);
      const signal = AbortSignal.any([cut.signal, init.signal!]);
      const response = await receiver.fetch(new Request(url, { ...init, signal }));
      if (!response.body) return response;
      return new Response(response.body.pipeThrough(new TransformStream(), { signal }), response);
    }) as unknown as typeof fetch,
  });
  const down = () => {
    network.up = false;
    for (const cut of cuts) cut.abort(new Error("the line is cut"));
  };
  return { commits, admission, network, source, pipeline, down };
}

/** What is stored: seqs of ordinary records in their order, and the gaps. */
async function stored(data: string): Promise<{ seqs: number[]; gaps: Gap[] }> {
  const seqs = new Set<number>();
  const gaps: Gap[] = [];
  for await (const { text } of readNew(new FolderStorage(data), new Map())) {
    for (const block of readBlocks(text ?? "")) {
      forEachRecord(block.text, (record) => {
        if (record.flag === "g") gaps.push(parseGap(record)!);
        else if (record.flag === "-") seqs.add(record.seq);
      }, () => {});
    }
  }
  return { seqs: [...seqs], gaps };
}

test("an outage of three spools keeps what was before it, its beginning and the newest, and says what is gone", async () => {
  using folder = new TemporaryFolder();
  const data = folder.path;
  const { commits, admission, network, source, pipeline, down } = await setUp(data);
  const running = pipeline.run();
  await source.say(100);
  while (pipeline.outbox.frames.length > 0 || source.written < 100) await pipeline.outbox.changed();

  down();
  const before = source.written;
  // 300 bytes of base64 are 225 of anything: zstd finds that, too.
  const lines = Math.ceil(3 * spoolBytes / 225);
  for (let said = 0; said < lines; said += 200) await source.say(200);
  expect(pipeline.outbox.bytes).toBeLessThanOrEqual(spoolBytes);
  expect(pipeline.uploader.offlineMs).toBeGreaterThan(0);

  // The last lines gather for a while: with them in memory too, nothing more has to go.
  const inMemory = () => {
    const ranges = pipeline.outbox.frames.flatMap(({ range }) => range ?? []);
    return ranges.at(-1)!.last === source.written - 1;
  };
  while (!inMemory()) await pipeline.outbox.changed();

  network.up = true;
  pipeline.uploader.wake();
  source.close();
  await running;
  await admission.stop();
  await commits.close();

  const { seqs, gaps } = await stored(data);
  const [gap] = gaps as [Gap];
  const last = source.written - 1;
  expect(gaps.map(({ cause }) => cause)).toEqual(["evicted"]);
  const missing = Array.from({ length: source.written }, (_, seq) => seq)
    .filter((seq) => !seqs.includes(seq));
  expect([gap.first, gap.last, gap.count]).toEqual([missing[0]!, missing.at(-1)!, missing.length]);
  expect(gap.count).toBe((gap.last as number) - gap.first! + 1);
  // The beginning is there, and the end; each is near half of what the spool holds.
  const kept = spoolBytes / 225 / 2;
  expect(gap.first! - before).toBeGreaterThan(0.7 * kept);
  expect(last - (gap.last as number)).toBeGreaterThan(0.7 * kept);
  expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
  expect(network.modes.at(-1)).toBe("bulk");

  const { totals } = await verify({ data });
  expect(totals).toMatchObject({
    records: source.written - gap.count,
    lost: 0,
    holes: 0,
    explained: gap.count,
    reordered: 0,
  });
});
