import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { denoPath, root } from "../../tests/programs.ts";
import { block, line, midnightMs, Mill, noonUs, syncLine } from "../fixtures.ts";
import { linesBackwards } from "./lines_backwards.ts";
import { prepare } from "./prepare.ts";

interface Ended {
  status: number | null;
  out: string;
  err: string;
}

function program(...words: string[]): Promise<Ended> {
  const flags = ["read", "write", "env", "sys", "net"].map((name) => `--allow-${name}`);
  const main = join(root, "grinder/narrative/main.ts");
  const args = ["run", "--config", join(root, "deno.json"), ...flags, main, ...words];
  const child = spawn(denoPath, args, { env: { ...process.env, NO_COLOR: "1" } });
  const ended: Ended = { status: null, out: "", err: "" };
  child.stdout.on("data", (chunk) => ended.out += chunk);
  child.stderr.on("data", (chunk) => ended.err += chunk);
  return new Promise((resolve) => child.on("close", (status) => resolve({ ...ended, status })));
}

/** d1 says something each minute from noon on; at 12:05 and 12:25 its link goes up. */
async function stored(): Promise<Mill> {
  const mill = new Mill({ nowMs: () => noonUs / 1000 });
  const r1 = await mill.receiver();
  for (let minute = 0; minute < 30; minute++) {
    const usec = minute * 60e6;
    const text = minute % 20 === 5 ? "link up on eth0" : `minute ${minute}`;
    const records = syncLine(minute, usec, noonUs + usec) + line(minute, text, usec);
    await r1.store(block(records, { recvUs: noonUs + usec + 1e5 }));
  }
  await mill.grindAll();
  writeFileSync(join(mill.folder.path, "devices"), "");
  return mill;
}

describe("the program narrative", () => {
  test("tells, suggests names, and says what is wrong with a range", async () => {
    await using mill = await stored();
    const data = ["--data", mill.folder.path];
    const [told, misspelt, backwards, nobody] = await Promise.all([
      program(
        "d1",
        ...data,
        "--since",
        "2026-11-22T12:04",
        "--until",
        "2026-11-22T12:07",
        "--json",
      ),
      program("d11", ...data, "--out", mill.out),
      program("d1", ...data, "--since", "1h", "--until", "2h"),
      program(...data),
    ]);
    const kinds = told.out.trim().split("\n").map((text) => JSON.parse(text).text);
    expect([told.status, kinds]).toEqual([0, [
      undefined,
      "minute 4",
      "link up on eth0",
      "minute 6",
    ]]);
    expect([misspelt.status, misspelt.out]).toEqual([1, ""]);
    expect(misspelt.err).toContain("Cannot tell of d11 because nothing is stored of it");
    expect(backwards.status).toBe(2);
    expect(backwards.err).toContain("Cannot use --since 1h because it must be before --until");
    expect(nobody.status).toBe(2);
    expect(nobody.err).toContain("Cannot tell anything because one device must be named");
  });
});

describe("what is asked for", () => {
  const asked = (mill: Mill, more: object) => ({
    ...{ data: mill.folder.path, out: mill.out, minutes: 5, rules: join(root, "rules.ts") },
    ...more,
  });
  const rangeOf = async (mill: Mill, around: string, words = ["d1"], more = {}) => {
    const none = () => {};
    const { options } = await prepare(words, asked(mill, { around, ...more }), midnightMs, none);
    const minute = (us: number) => (us - noonUs) / 60e6;
    return [options.devices, minute(options.range.sinceUs), minute(options.range.untilUs)];
  };

  test("is the time around the newest event of a rule, or the one before, or that of a line", async () => {
    await using mill = await stored();
    expect(await rangeOf(mill, "link")).toEqual([["d1"], 20, 30]);
    expect(await rangeOf(mill, "link:2", ["d1"], { minutes: 1 })).toEqual([["d1"], 4, 6]);
    const { segment, offset, line: at } = mill.events()[0]!;
    expect(await rangeOf(mill, `${segment}:${offset}:${at}`, [])).toEqual([["d1"], 0, 10]);
  });

  test("is refused, with what there is, where no such event is", async () => {
    await using mill = await stored();
    await expect(rangeOf(mill, "link:3")).rejects.toThrow("it has, of any device, link");
    await expect(rangeOf(mill, "lnik")).rejects.toThrow("must have such an event of d1");
    await expect(rangeOf(mill, "link up")).rejects.toThrow("RULE, RULE:N or SEGMENT:OFFSET:LINE");
    await expect(rangeOf(mill, "link", ["d1"], { since: "1h" })).rejects.toThrow("says the time");
  });

  test("is devices by their labels", async () => {
    await using mill = await stored();
    const keys = ["A", "B", "C"].map((letter) => letter.repeat(43));
    writeFileSync(
      join(mill.folder.path, "devices"),
      `${keys[0]} d1 city=Bern\n${keys[1]} d2 city=Basel\n${keys[2]} d3 city=Bern model=R2\n`,
    );
    const none = () => {};
    const devicesOf = async (devices: string) =>
      (await prepare([], asked(mill, { devices }), midnightMs, none)).options.devices;
    expect(await devicesOf("city=Bern")).toEqual(["d1", "d3"]);
    expect(await devicesOf("city=Bern,model=R2")).toEqual(["d3"]);
    expect(await devicesOf("d2,d9")).toEqual(["d2", "d9"]);
    await expect(devicesOf("city=Rome")).rejects.toThrow("it must be 1 to 64 devices: it is 0");
    await expect(devicesOf("d1,city=Bern")).rejects.toThrow("Cannot use --devices");
  });
});

test("lines of a file backwards are its lines, whatever the chunks", async () => {
  await using mill = new Mill();
  const path = join(mill.folder.path, "lines");
  const lines = ["first", "", "ä".repeat(9), "x".repeat(40), "last"];
  for (const tail of ["", "torn"]) {
    writeFileSync(path, `${lines.join("\n")}\n${tail}`);
    for (const bytes of [1, 2, 7, 50, 1000]) {
      const found = [];
      for await (const text of linesBackwards(path, bytes)) found.push(text);
      expect(found).toEqual(lines.filter((text) => text !== "").reverse());
    }
  }
});
