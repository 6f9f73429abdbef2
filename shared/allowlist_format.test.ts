import { expect, test } from "bun:test";
import {
  AllowListError,
  type Device,
  formatDevice,
  glance,
  parseAllowList,
  parseInSlices,
  parseLine,
} from "./allowlist_format.ts";
import { limits } from "./limits.ts";

const [A, B, C] = ["A", "B", "C"].map((letter) => letter.repeat(43)) as [string, string, string];
const device = (thumbprint: string, name: string, labels: Record<string, string> = {}): Device => ({
  thumbprint,
  name,
  labels,
});
const long = "n".repeat(129);
const badLines = [
  `${A} ok`,
  `short kiosk`,
  `${B}`,
  `${B} a/b`,
  `${B} ..`,
  `${B} -`,
  `${B} ${long}`,
  `${B} x Site=1`,
  `${B} x site`,
  `${B} x site=`,
  `${B} x a=1 a=2`,
  `${B} x a=${long}`,
  `${B} x ${Array.from({ length: 17 }, (_, i) => `k${i}=v`).join(" ")}`,
  `${C} last`,
];

test("an allow-list's devices are read with their labels, comments and blank lines aside", () => {
  const { devices, problems } = parseAllowList(
    `# the shop\n\n  ${A}\tkiosk-7  site=north model=k2=3 # by the door\r\n${B} 02:42:ac:11\n`,
  );
  expect(problems).toEqual([]);
  expect([...devices.values()]).toEqual([
    device(A, "kiosk-7", { site: "north", model: "k2=3" }),
    device(B, "02:42:ac:11"),
  ]);
});

test("an allow-list's bad lines are told of by number and harm no other", () => {
  const { devices, problems } = parseAllowList(badLines.join("\n") + "\n");
  expect([...devices.values()].map(({ name }) => name)).toEqual(["ok", "last"]);
  expect(problems.map((problem) => Number(/^line (\d+): /.exec(problem)![1]))).toEqual(
    [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
  );
  expect(problems[2]).toContain('current value is "a/b"');
});

test("an allow-list's first line wins over a later one with the same key or the same name", () => {
  const { devices, problems } = parseAllowList(`${A} one\n${A} two\n${B} one\n`);
  expect([...devices.values()]).toEqual([device(A, "one")]);
  expect(problems.length).toBe(2);
  expect(problems[0]).toContain("line 2");
  expect(problems[1]).toContain("line 3");
});

test("an allow-list in another format gives a few problems and their number", () => {
  const { devices, problems } = parseAllowList("{}\n".repeat(1000));
  expect(devices.size).toBe(0);
  expect(problems.length).toBe(21);
  expect(problems.at(-1)).toBe("and 980 lines more");
});

test("an allow-list of 100,000 devices is read whole", () => {
  const lines = Array.from(
    { length: 100_000 },
    (_, i) => `${String(i).padStart(43, "x")} device-${i} site=s${i % 100} model=m${i % 7}\n`,
  );
  const { devices, problems } = parseAllowList(lines.join(""));
  expect(problems).toEqual([]);
  expect(devices.size).toBe(100_000);
  expect(devices.get("99999".padStart(43, "x"))?.labels).toEqual({ site: "s99", model: "m4" });
});

test("an allow-list that is read in slices is the same, and pauses after each of them", async () => {
  const text = `${badLines.join("\n")}\n`.repeat(200) + `${B} cut`;
  let ms = 0;
  let pauses = 0;
  const sliced = await parseInSlices(text, {
    nowMs: () => ms += 1, // Each look at the clock is a millisecond of work.
    pause: () => Promise.resolve(void pauses++),
  });
  const whole = parseAllowList(text);
  expect([...sliced.devices.values()]).toEqual([...whole.devices.values()]);
  expect(sliced.problems).toEqual(whole.problems);
  const looks = Math.floor(200 * badLines.length / 64);
  expect(pauses).toBe(Math.floor(looks / limits.listSliceMs));
  expect(pauses).toBeGreaterThan(5);
});

test("a line that needs no closer look is what a closer look would find", () => {
  let seed = 1;
  const random = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const pick = <T>(...all: T[]): T => all[random(all.length)]!;
  const word = () =>
    pick("a", "b", "site", "x.y", "-", ".", "..", "#", "a#b", "ü", "A:1", "", long);
  const spaces = () => pick(" ", " ", " ", " ", " ", " ", "  ", "\t", "\r", "\u00a0", "\v");
  const pair = () =>
    `${spaces()}${pick("a", "b", "a_1", "ab", "A", "1", word())}=${pick("v", word(), "a=b")}`;
  let plain = 0;
  for (let i = 0; i < 100_000; i++) {
    const name = pick("kiosk", "kiosk-7", "02:42:ac", "n".repeat(128), word());
    const labels = Array.from({ length: pick(0, 1, 2, 2, 3, 16, 17) }, pair).join("");
    const line = `${pick(A, A, A, A.slice(1), `${A}A`)}${spaces()}${name}${labels}${
      pick("", "", " ", " # c")
    }`;
    const seen = glance(line);
    if (seen === undefined) continue;
    plain++;
    expect(parseLine(line)).toMatchObject(seen);
  }
  expect(plain).toBeGreaterThan(1_000);
});

test("a line that is out of bounds gets a closer look", () => {
  const labels = (count: number) => Array.from({ length: count }, (_, i) => ` k${i}=v`).join("");
  const bad = [
    `${A} kiosk${labels(17)}`,
    `${A} ${long}`,
    `${A} kiosk a=${long}`,
    `${A} kiosk a=1 a=2`,
  ];
  expect(bad.map(glance)).toEqual([undefined, undefined, undefined, undefined]);
});

test("a line that `allow` writes needs no closer look", () => {
  const labels = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, "v=ü"]));
  expect(glance(formatDevice(device(A, "kiosk-7", labels)))).toEqual({
    thumbprint: A,
    name: "kiosk-7",
  });
});

test("a device that would be a bad line has none", () => {
  const codeOf = (bad: Device) => {
    try {
      return formatDevice(bad);
    } catch (error) {
      return error instanceof AllowListError && error.code;
    }
  };
  expect(codeOf(device(A, "one", { site: "north", model: "k2" }))).toBe(
    `${A} one site=north model=k2`,
  );
  for (
    const bad of [
      device("short", "one"),
      device(A, "a\nb"),
      device(A, ""),
      device(A, "one", { site: "a b" }),
      device(A, "one", { site: `a\n${B}` }),
      device(A, "one", { Site: "a" }),
      device(A, "one", { site: "" }),
      device(A, "one", { "": "a" }),
    ]
  ) expect(codeOf(bad)).toBe("bad_device");
});
