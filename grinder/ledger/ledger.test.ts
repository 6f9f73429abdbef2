import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../tests/fleet/random.ts";
import { StoredStreams } from "../../tests/verify/streams.ts";
import { verify } from "../../tests/verify/verify.ts";
import { block, gapLine, line, lines, Mill, noonUs } from "../fixtures.ts";
import type { StreamAccount } from "./account.ts";
import { causes } from "./account.ts";
import { Ledger } from "./ledger.ts";
import { addAccount, noSum } from "./ledger_text.ts";

/** Ground, and told by a ledger while the state is still open. */
async function accountsOf(mill: Mill, device?: string): Promise<StreamAccount[]> {
  await mill.grindAll("batch");
  using ledger = Ledger.open(mill.out);
  return [...ledger.accounts(device)];
}

/** Blocks of many streams with holes, resends and gaps of every kind, the first and the last seq stored. */
function randomBlocks(seed: number): string[] {
  const random = seededRandom(seed);
  const pick = (below: number) => Math.floor(random() * below);
  const blocks: string[] = [];
  for (let n = 0; n < 12; n++) {
    const device = `d${n % 5}`;
    const names = n % 3 === 0
      ? { device, boot: `b${n}`, source: "app:x", stream: `s${n}` }
      : { device, boot: `b${n}`, stream: `b${n}` };
    const last = 20 + pick(200);
    blocks.push(block(line(0, "first") + line(last, "last"), names));
    for (let i = 0; i < 8; i++) {
      const first = pick(last);
      const end = Math.min(last, first + pick(30));
      blocks.push(block(pick(2) === 0 ? lines(first, end) : gap(first, end), names));
    }
  }
  return blocks;

  function gap(first: number, end: number): string {
    const cause = causes[pick(causes.length)]!;
    const count = end - first + 1;
    const kind = pick(8);
    if (kind === 0) return gapLine(first, pick(1e6), { count: 1 + pick(9), cause });
    if (kind === 1) return gapLine(first, pick(1e6), { first, last: "?", count: 0, cause });
    return gapLine(first, pick(1e6), { first, last: end, count, cause });
  }
}

function explained(account: StreamAccount): number {
  return [...causes, "other" as const].reduce((sum, cause) => sum + account[cause], 0);
}

describe("Ledger", () => {
  test("counts what the verifier counts, stream by stream, in stores of every kind", async () => {
    for (let seed = 1; seed <= 25; seed++) {
      await using mill = new Mill();
      const receiver = await mill.receiver();
      for (const text of randomBlocks(seed)) await receiver.store(text);
      const accounts = await accountsOf(mill);
      const streams = new StoredStreams(() => {});
      await streams.read(mill.storage);
      const total = noSum();
      let told = 0;
      for (const account of accounts) {
        const { device, source, stream } = account;
        const found = streams.streams.get(`${device} ${source} ${stream}`)!;
        expect(account.seqs).toBe(found.stored.encode());
        expect(explained(account)).toBe(
          found.explained.subtract(found.stored).count + found.unnumbered,
        );
        addAccount(total, account);
        told += explained(account);
      }
      const { totals } = await verify({ data: mill.folder.path, out: mill.out });
      expect({ seed, streams: accounts.length, ...pickTotals(total), told }).toEqual({
        ...{ seed, streams: streams.streams.size },
        ...{ stored: totals.records, unexplained: totals.holes, told: totals.explained },
      });
      expect(total.unexplained).toBeGreaterThan(0);
    }
  });

  test("has what a batch changed of streams whose rows are older", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    for (const first of [0, 10, 30]) {
      await receiver.store(block(lines(first, first + 9)));
      await accountsOf(mill);
    }
    expect(await accountsOf(mill)).toMatchObject([{ seqs: "0-19,30-39", unexplained: 10 }]);
  });

  test("tells of one device only, whatever other names begin with its name", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    for (const device of ["d1", "d", "d1-b", "d10", "d1+"]) {
      await receiver.store(block(lines(0, 9), { device }));
    }
    expect((await accountsOf(mill, "d1")).map(({ device }) => device)).toEqual(["d1"]);
    expect(await accountsOf(mill, "d2")).toEqual([]);
  });

  test("keeps a device's streams together, and has more than it reads at a time", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const names = ["a-b", "a", "a.b", "B"].flatMap((device) =>
      Array.from({ length: 1_500 }, (_, i) => ({ device, boot: `b${i}`, stream: `b${i}` }))
    );
    await receiver.store(...names.map((name) => block(lines(1, 2) + line(4, "x"), name)));
    const accounts = await accountsOf(mill);
    expect(accounts.length).toBe(6_000);
    expect(new Set(accounts.map(({ device, boot }) => `${device} ${boot}`)).size).toBe(6_000);
    const runs = accounts.filter(({ device }, i) => accounts[i - 1]?.device !== device);
    expect(runs.length).toBe(4);
  });

  test("knows the boot of the kernel's streams, of recovered ones, and where something was lost", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(
      block(lines(0, 1)),
      block("6,0,1,p;panic\n", { source: "pstore", stream: "pstore-1" }),
      block("6,0,2,p;panic\n", { boot: "b2", stream: "ring-1" }),
      block(lines(0, 1) + gapLine(2, 2, { count: 1, cause: "refused" }), {
        ...{ source: "app:x", stream: "s1" },
      }),
      block(lines(0, 1), { source: "file:y", stream: "s2" }),
    );
    expect((await accountsOf(mill)).map(({ stream, boot }) => `${stream} ${boot}`).sort())
      .toEqual(["b1 b1", "pstore-1 b1", "ring-1 b2", "s1 b1", "s2 -"]);
  });

  test("counts for the gap record that was received first", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const lost = (recvUs: number, cause: "evicted" | "refused", usec: number) =>
      block(gapLine(2, usec, { first: 2, last: 5, count: 4, cause }), { recvUs });
    await receiver.store(
      block(lines(0, 1) + line(6, "x")),
      lost(noonUs + 2e6, "refused", 1),
      lost(noonUs + 1e6, "evicted", 9),
    );
    expect(await accountsOf(mill)).toMatchObject([{ evicted: 4, refused: 0, unexplained: 0 }]);
  });

  test("says what was never read: damage, and segments that went before it", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block("no record\n" + lines(0, 1)));
    await accountsOf(mill);
    using ledger = Ledger.open(mill.out);
    expect(ledger.unread()).toEqual([{ what: "lines that are no records", count: 1 }]);
    expect(ledger.devices()).toEqual(["d1"]);
  });
});

function pickTotals({ stored, unexplained }: { stored: number; unexplained: number }) {
  return { stored, unexplained };
}
