import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtInEvents, checkBuiltIn, eventOf } from "./built_in.ts";
import { formatEvent } from "./event.ts";
import { noonUs } from "./fixtures.ts";
import { loadBuiltIn, loadRules } from "./load_rules.ts";
import { endRules } from "./reboots.ts";
import { extract } from "./rule.ts";

const folder = await mkdtemp(join(tmpdir(), "logmill built-in "));
afterAll(() => rm(folder, { recursive: true }));
const module = new URL("./built_in.ts", import.meta.url).href;

async function fileWith(name: string, options: string): Promise<string> {
  const path = join(folder, name);
  const code = `import { builtInEvents } from "${module}";\nexport const builtIn = ${options};\n`;
  await writeFile(path, `${code}export default [];\n`);
  return path;
}

describe("options of built-in events", () => {
  test("are those of the shipped rules file where a file has none", async () => {
    const path = join(folder, "none.ts");
    await writeFile(path, "export default [];\n");
    const shipped = new URL("../rules.ts", import.meta.url).pathname;
    expect(await loadBuiltIn(path)).toEqual(await loadBuiltIn(shipped));
    expect(await loadBuiltIn(path)).toEqual({
      kind: "built-in",
      device: ["city", "model"],
      deviceSilent: { times: 5, atLeastUs: 300e6 },
      reboot: { waitUs: 60e6, clean: ["clean_reboot"], panic: ["kernel_panic"] },
      clockStep: { atLeastUs: 10e6 },
    });
    const names = (await loadRules(shipped)).map(({ name }) => name);
    expect(names).toContain("clean_reboot");
    expect(names).toContain("kernel_panic");
  });

  test("are read from the file, one by one", async () => {
    const options = `builtInEvents({ device: [], reboot: false, clock_step: { atLeast: "1.5h" } })`;
    expect(await loadBuiltIn(await fileWith("some.ts", options))).toEqual({
      kind: "built-in",
      device: [],
      deviceSilent: { times: 5, atLeastUs: 300e6 },
      reboot: undefined,
      clockStep: { atLeastUs: 5400e6 },
    });
  });

  test("are refused with all that is wrong", async () => {
    const options =
      `builtInEvents({ device: "city", device_silent: { times: 1, atLeast: "5 min" } })`;
    const path = await fileWith("wrong.ts", options);
    const error = await loadBuiltIn(path).then(() => undefined, (error) => error);
    expect(error.message).toBe(
      `Cannot load rules from ${path} because every check must pass:\n` +
        `builtIn: labels and rules must be names: they are "city"\n` +
        "builtIn: device_silent.times must be 2 to 1000: it is 1\n" +
        "builtIn: device_silent.atLeast must be 60 to 604800 seconds: it is NaN",
    );
    expect(checkBuiltIn({ device: [] })).toEqual([
      'builtIn: it must be made by builtInEvents({...}): it is {"device":[]}',
    ]);
    expect(checkBuiltIn(builtInEvents({ clock_step: { atLeast: "0.1s" }, reboot: { wait: "2h" } })))
      .toHaveLength(2);
  });
});

describe("a built-in event", () => {
  test("is a line like any other, with no record behind it", () => {
    const header = { device: "d1", boot: "-", recvUs: noonUs };
    const said = { value: 300, text: "silent for 300 s, usually heard every 30 s" };
    const time = { wallUs: noonUs + 300e6, errorUs: 1e6 };
    const event = eventOf("device_silent", header, said, time, ["city"]);
    expect(event.by).toEqual({ name: "device_silent", device: ["city"] });
    expect(JSON.parse(formatEvent(event, event.time))).toEqual({
      rule: "device_silent",
      time: "2026-11-22T12:05:00.000000Z",
      time_error_us: 1e6,
      ...{ device: "d1", boot: "-", source: "-", stream: "-", seq: 0, usec: 0, prio: 5 },
      labels: {},
      value: 300,
      text: said.text,
      recv_us: noonUs,
      ...{ segment: "-", offset: 0, line: 0 },
    });
  });
});

describe("the rules by which a boot's end is told", () => {
  test("match their yes lines and not their no lines", () => {
    for (const { rule } of endRules) {
      expect(rule.yes.filter((line) => extract(rule, line) === null)).toEqual([]);
      expect(rule.no.filter((line) => extract(rule, line) !== null)).toEqual([]);
    }
    expect(endRules.map(({ end }) => end)).toContain("panic");
  });
});
