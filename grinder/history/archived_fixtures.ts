/** A store with all that grinding knows, archived or not, and what is ground of it: for tests of history. */
import { Buffer } from "node:buffer";
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatBlockHeader } from "../../shared/block.ts";
import { Duck } from "../archive/duck.ts";
import { blockText, noonUs, Store } from "../archive/fixtures.ts";
import { formatManifest } from "../archive/manifest.ts";
import { builtInEvents } from "../built_in.ts";
import { Engine } from "../engine/engine.ts";
import { gapLine, line, rules as testRules, syncLine } from "../fixtures.ts";
import { Grind } from "../grind.ts";
import { LiteralMatcher } from "../match.ts";
import { withEndRules } from "../reboots.ts";
import { State } from "../state.ts";
import { tail } from "../tail.ts";
import type { Digested } from "../engine/engine.ts";
import { History } from "./history.ts";
import { historyDigests } from "./history_digests.ts";
import type { Progress } from "./select_frames.ts";

const minuteUs = 60e6;
const rules = withEndRules(testRules);

export class FilledStore extends Store {
  readonly rules = join(this.folder, "rules.ts");
  #minute = 0;
  #next = new Map<string, number>();

  constructor(private readonly receivers: readonly string[] = ["r1"]) {
    super();
    mkdirSync(this.data, { recursive: true });
    writeFileSync(this.rules, "export default [];\n");
  }

  /** So many minutes of five devices, a commit a minute, a segment for each receiver and 20 of them. */
  async fill(minutes: number): Promise<void> {
    const end = this.#minute + minutes;
    while (this.#minute < end) {
      const frames = this.receivers.map(() => [] as string[]);
      for (let i = 0; i < 20; i++, this.#minute++) {
        frames[this.#minute % frames.length]!.push(this.#frame(this.#minute));
      }
      for (const [i, name] of this.receivers.entries()) await this.receive(frames[i]!, name);
    }
    this.nowMs = (noonUs + this.#minute * minuteUs) / 1000;
  }

  #frame(minute: number): string {
    // d4 is always heard, so that its receiver was up when others were silent for half an hour.
    const isSilent = minute % 90 >= 50 && minute % 90 <= 80 && minute !== 59 &&
      minute !== 60;
    const devices = [0, 1, 2, 3, 4].filter((i) => i === 4 || !isSilent);
    return devices.map((i) => this.#blocks(`d${i}`, minute)).join("");
  }

  #blocks(device: string, minute: number): string {
    const recvUs = noonUs + minute * minuteUs + Number(device.slice(1)) * 1000;
    // d1 dies in a panic after an hour, and tells it when it is back.
    const hasDied = device === "d1" && minute >= 60;
    const boot = hasDied ? "b-after" : `b-${device}`;
    const startUs = hasDied ? noonUs + 59.5 * minuteUs : noonUs - 100e6;
    const usec = recvUs - startUs - 50_000;
    let blocks = this.#kmsg(device, boot, minute, usec, recvUs);
    if (minute % 7 === 3) blocks += this.#app(device, boot, minute, usec, recvUs);
    if (device === "d2" && minute % 11 === 5) blocks += raw(device, minute, recvUs);
    if (hasDied && minute === 60) blocks += this.#lastWords(device, recvUs);
    return blocks;
  }

  #kmsg(device: string, boot: string, minute: number, usec: number, recvUs: number): string {
    const key = `${device} ${boot}`;
    const first = this.#next.get(key) ?? 0;
    let text = "";
    for (let i = 0; i < 12; i++) {
      const say = i === 3
        ? `link ${minute % 2 ? "up" : "down"} on eth${minute % 3}`
        : `nothing ${i}`;
      text += line(first + i, i === 7 ? `took ${minute}.5 ms` : say, usec - (12 - i) * 1000);
    }
    if (device === "d4" && minute % 13 === 6) {
      text = gapLine(first, usec - 13_000, { first, last: first + 4, count: 5, cause: "overrun" }) +
        text.split("\n").slice(5).join("\n");
    }
    // Neither has columns of its own: a line that is no record, a seq with a zero before it.
    if (device === "d2" && minute % 17 === 8) {
      text += `what\x01ever ${minute}\n6,0${first + 12},7,-;x\n`;
    }
    const odd = device === "d2" && minute % 17 === 8 ? 1 : 0;
    this.#next.set(key, first + 12 + odd);
    text += syncLine(first + 12 + odd, usec, recvUs - 50_000);
    const last = first + 11 + odd;
    return blockText(text, { device, boot, stream: boot, recvUs, first, last, count: 12 + odd });
  }

  #app(device: string, boot: string, minute: number, usec: number, recvUs: number): string {
    const key = `${device} app`;
    const seq = this.#next.get(key) ?? 0;
    this.#next.set(key, seq + 2);
    const text = line(seq, `took ${minute} ms`, usec - 9_000) +
      line(seq + 1, "a\\x41b", usec - 8_000);
    return blockText(text, { device, boot, source: "app:a", stream: "s1", recvUs });
  }

  /** Some of it is stored already. */
  #lastWords(device: string, recvUs: number): string {
    const usec = 60 * minuteUs;
    const seq = this.#next.get(`${device} b-${device}`)! - 1;
    const known = noonUs + 59 * minuteUs + 1000 - (noonUs - 100e6) - 50_000;
    const text = line(0, "took 59.5 ms", known - 5_000) + line(1, "link up on eth9", usec) +
      line(2, "Kernel panic - not syncing: told so", usec + 5);
    const pstore = { source: "pstore", stream: `pstore-${seq}` };
    const flagged = text.replaceAll(",-;", ",p;");
    return blockText(flagged, { device, boot: `b-${device}`, ...pstore, recvUs });
  }

  /** Archives all that is there. */
  async archive(): Promise<void> {
    while (await this.archiver().run());
  }

  /** Makes small row groups of the archive's files, so that devices go on from one to the next. */
  async cut(rows: number): Promise<void> {
    const manifest = await this.manifest();
    const options = { scratch: join(this.folder, "duck"), memoryBytes: 256e6, threads: 1 };
    using duck = await Duck.open(options);
    for (const file of manifest.files) {
      const path = join(this.data, file.path);
      await duck.run(
        `copy (select * from '${path}') to '${path}.cut' (format parquet, parquet_version v2,
           compression zstd, row_group_size ${rows}, kv_metadata {logmill_archive: '1'})`,
      );
      renameSync(`${path}.cut`, path);
      file.bytes = statSync(path).size;
    }
    const name = `${String(manifest.version).padStart(8, "0")}.json`;
    writeFileSync(join(this.data, "archive/manifests", name), formatManifest(manifest));
  }

  /** `meanwhile` is called after so many frames. */
  async grind(
    name: string,
    { meanwhile = async () => {}, after = 3, stopAfter = Infinity, range = {} }: {
      meanwhile?: () => Promise<void>;
      after?: number;
      stopAfter?: number;
      range?: { since?: string; until?: string };
    } = {},
  ): Promise<Ground> {
    const out = join(this.folder, name);
    const progress: Progress[] = [];
    const warnings: string[] = [];
    const warn = (text: string) => void warnings.push(text);
    const { storage, place, data } = this;
    const history = await History.open({
      ...{ storage, place, data, out, warn, rules: this.rules, windowUs: 60e6, live: [] },
      ...{ nowMs: this.nowMs, progress: (one: Progress) => progress.push(one), ...range },
    });
    const state = State.open(out, this.nowMs, warn);
    const matcher = new LiteralMatcher(rules);
    const builtIn = builtInEvents({});
    const ground = { out, matcher, windowUs: 60e6, builtIn, labelsOf: () => ({}), warn };
    const grind = new Grind({ ...ground, state, keeps: history.keeps });
    for (const [epoch, start] of history.storage?.starts ?? []) grind.cursors.set(epoch, start);
    await using engine = new Engine({ rules, rulesPath: this.rules, threads: 0, warn });
    const stop = new AbortController();
    const digests = (_: unknown, cursors: Map<string, never>) =>
      historyDigests({
        ...{ storage: history.storage!, rules, rulesPath: this.rules, threads: 0, warn },
        digests: (storage, cursors) => engine.digests(storage, cursors),
        heardAt: grind.builtIn.heardAt.bind(grind.builtIn),
      }, cursors);
    const { nowMs } = this;
    const counted = async function* (
      ...args: Parameters<typeof digests>
    ): AsyncGenerator<Digested> {
      let count = 0;
      for await (const one of digests(...args)) {
        if (count++ === after) await meanwhile();
        yield one;
        if (count > stopAfter) stop.abort();
        // So that there is something of it.
        if (stopAfter < Infinity) grind.commit(nowMs);
      }
    };
    const run = { storage: history.storage!, grind, digests: counted as never, once: true };
    const clock = { nowMs: () => this.nowMs, sleep: async () => {} };
    await tail({ ...run, stop: stop.signal, refresh: async () => {}, report: warn, clock });
    state.close();
    if (!stop.signal.aborted) history.finish();
    return { ...groundIn(out), progress, warnings };
  }
}

function raw(device: string, minute: number, recvUs: number): string {
  const header = { device, boot: "-", source: "raw", stream: "-", recvUs };
  return formatBlockHeader({ ...header, first: 0, last: 0, count: 0 }) +
    `nothing raw ${minute}\n<6>[    1.${String(minute).padStart(6, "0")}] link raw on eth0\n`;
}

export interface Ground {
  /** Without the place of what has an identity; sorted. */
  events: string[];
  /** The last of each window, rule and labels; sums as far as their order doesn't matter. Sorted. */
  aggregates: string[];
  progress: Progress[];
  warnings: string[];
}

function groundIn(out: string): Pick<Ground, "events" | "aggregates"> {
  const events = linesIn(out, "events").map((text) => {
    const { segment, offset, line, ...event } = JSON.parse(text);
    return JSON.stringify(event.source === "raw" ? { ...event, segment, offset, line } : event);
  });
  const last = new Map<string, { rev: number }>();
  for (const text of linesIn(out, "aggregates")) {
    const { rev, ...aggregate } = JSON.parse(text);
    if (aggregate.sum !== undefined) aggregate.sum = Number(aggregate.sum.toPrecision(12));
    const key = `${aggregate.window} ${aggregate.rule} ${JSON.stringify(aggregate.labels)}`;
    if (!(rev <= (last.get(key)?.rev ?? -1))) last.set(key, { rev, ...aggregate });
  }
  const aggregates = [...last.values()].map(({ rev: _, ...rest }) => JSON.stringify(rest));
  return { events: events.sort(), aggregates: aggregates.sort() };
}

function linesIn(out: string, kind: string): string[] {
  const folder = join(out, kind);
  return readdirSync(folder).flatMap((file) =>
    Buffer.from(readFileSync(join(folder, file))).toString().split("\n").slice(0, -1)
  );
}
