import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { addDevice, AllowList, AllowListError, parseAllowList, removeDevice } from "./allowlist.ts";

const A = "A".repeat(43);
const B = "B".repeat(43);
const C = "C".repeat(43);
let dir = "";
let path = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "allowlist-"));
  path = join(dir, "devices");
});
afterEach(() => rmSync(dir, { recursive: true }));

const device = (thumbprint: string, name: string, labels: Record<string, string> = {}) => ({
  thumbprint,
  name,
  labels,
});

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(AllowListError);
    return (error as AllowListError).code;
  }
}

test("an allow-list's devices are read with their labels, comments and blank lines aside", () => {
  const { devices, problems } = parseAllowList(
    `# the shop\n\n  ${A}\tkiosk-7  site=north model=k2 # by the door\r\n${B} 02:42:ac:11\n`,
  );
  expect(problems).toEqual([]);
  expect([...devices.values()]).toEqual([
    device(A, "kiosk-7", { site: "north", model: "k2" }),
    device(B, "02:42:ac:11"),
  ]);
});

test("an allow-list's bad lines are told of by number and harm no other", () => {
  const long = "n".repeat(129);
  const lines = [
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
  const { devices, problems } = parseAllowList(lines.join("\n") + "\n");
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

test("adding a device writes one line and keeps what was there", () => {
  expect(addDevice(path, device(A, "one", { site: "north" }))).toBe(true);
  writeFileSync(path, `# mine\n${readFileSync(path, "utf8")}\n# end`);
  expect(addDevice(path, device(B, "two"))).toBe(true);
  expect(readFileSync(path, "utf8")).toBe(`# mine\n${A} one site=north\n\n# end\n${B} two\n`);
  expect(readdirSync(dir)).toEqual(["devices"]);
});

test("adding a device again changes nothing, and with another key or name it is refused", () => {
  addDevice(path, device(A, "one", { site: "north" }));
  const { ino } = statSync(path);
  expect(addDevice(path, device(A, "one", { site: "north" }))).toBe(false);
  expect(codeOf(() => addDevice(path, device(A, "two")))).toBe("device_exists");
  expect(codeOf(() => addDevice(path, device(B, "one")))).toBe("device_exists");
  expect(codeOf(() => addDevice(path, device(A, "one", { site: "south" })))).toBe("device_exists");
  expect(statSync(path).ino).toBe(ino);
});

test("adding a device that would be a bad line is refused before anything is written", () => {
  expect(codeOf(() => addDevice(path, device("short", "one")))).toBe("bad_device");
  expect(codeOf(() => addDevice(path, device(A, "a\nb")))).toBe("bad_device");
  expect(codeOf(() => addDevice(path, device(A, "one", { site: "a b" })))).toBe("bad_device");
  expect(codeOf(() => addDevice(path, device(A, "one", { site: "a\n" + B })))).toBe("bad_device");
  expect(codeOf(() => addDevice(path, device(A, "one", { "Site": "a" })))).toBe("bad_device");
  expect(readdirSync(dir)).toEqual([]);
});

test("an edit keeps the file's mode and a symbolic link to it", () => {
  writeFileSync(path, "");
  chmodSync(path, 0o640);
  const link = join(dir, "link");
  symlinkSync(path, link);
  addDevice(link, device(A, "one"));
  expect(readFileSync(path, "utf8")).toBe(`${A} one\n`);
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

test("removing a device by name or thumbprint keeps comments and the others", () => {
  writeFileSync(path, `# top\n${A} one # x\n${B} two\n\n${C} three\n`);
  expect(removeDevice(path, "two")).toBe(1);
  expect(removeDevice(path, A)).toBe(1);
  expect(removeDevice(path, "nobody")).toBe(0);
  expect(removeDevice(path, "")).toBe(0);
  expect(readFileSync(path, "utf8")).toBe(`# top\n\n${C} three\n`);
});

test("removing a device removes the lines that it overruled, so that none comes to life", () => {
  writeFileSync(path, `${A} one\n${A} two\n${B} one\n${C} three\n`);
  expect(removeDevice(path, "one")).toBe(3);
  expect(readFileSync(path, "utf8")).toBe(`${C} three\n`);
});

test("removing a device from a list that doesn't exist removes none", () => {
  expect(removeDevice(path, "one")).toBe(0);
  expect(readdirSync(dir)).toEqual([]);
});

test("an allow-list that is missing is empty, and a file that appears is taken", () => {
  let changes = 0;
  const list = new AllowList(path, { onChange: () => changes++ });
  expect([list.size, list.problem, list.reload()]).toEqual([0, undefined, false]);
  addDevice(path, device(A, "one"));
  expect(list.reload()).toBe(true);
  expect(list.get(A)).toEqual(device(A, "one"));
  expect([changes, list.reload(), changes]).toEqual([1, false, 1]);
});

test("an allow-list forgets a removed device at the next look", () => {
  writeFileSync(path, `${A} one\n${B} two\n`);
  const list = new AllowList(path);
  removeDevice(path, "one");
  expect(list.reload()).toBe(true);
  expect(list.get(A)).toBe(undefined);
  expect(list.size).toBe(1);
});

test("an allow-list that was cut off keeps the old devices and says so, until it is whole", () => {
  writeFileSync(path, `${A} one\n${B} two\n`);
  const list = new AllowList(path);
  writeFileSync(path, `${A} one\n${C} thr`);
  expect(list.reload()).toBe(false);
  expect(list.problem).toContain("must end in a newline");
  expect(list.get(B)?.name).toBe("two");
  writeFileSync(path, `${A} one\n${C} three\n`);
  expect(list.reload()).toBe(true);
  expect([list.problem, list.get(B), list.get(C)?.name]).toEqual([undefined, undefined, "three"]);
});

test("an allow-list that is cut off at start gives its whole lines, not a device of half a name", () => {
  writeFileSync(path, `${A} one\n${B} kiosk-1`);
  const list = new AllowList(path);
  expect([list.size, list.get(A)?.name]).toEqual([1, "one"]);
  expect(list.problem).toContain("must end in a newline");
});

test("an allow-list that an editor empties or moves for a moment cuts nobody off", () => {
  writeFileSync(path, `${A} one\n`);
  const list = new AllowList(path);
  truncateSync(path);
  expect(list.reload()).toBe(false);
  expect([list.size, list.problem !== undefined]).toEqual([1, true]);
  writeFileSync(path, `${A} one\n${B} two\n`);
  expect([list.reload(), list.size, list.problem]).toEqual([true, 2, undefined]);
  rmSync(path);
  expect([list.reload(), list.size]).toEqual([false, 2]);
  writeFileSync(path, `${B} two\n`);
  expect([list.reload(), list.size]).toEqual([true, 1]);
});

test("an allow-list that is still gone or empty at the second look lets nobody in", () => {
  for (const empty of [() => rmSync(path), () => truncateSync(path)]) {
    writeFileSync(path, `${A} one\n`);
    const list = new AllowList(path);
    empty();
    expect([list.reload(), list.reload(), list.reload()]).toEqual([false, true, false]);
    expect([list.size, list.problem]).toEqual([0, undefined]);
  }
});

test("an allow-list that can't be read keeps the old devices and says so", () => {
  writeFileSync(path, `${A} one\n`);
  const list = new AllowList(path);
  rmSync(path);
  symlinkSync(dir, path); // a directory in its place: reading fails, for root too
  expect(list.reload()).toBe(false);
  expect(list.problem).toContain("must be readable");
  expect(list.size).toBe(1);
  rmSync(path);
  writeFileSync(path, `${B} two\n`);
  expect([list.reload(), list.problem, list.get(B)?.name]).toEqual([true, undefined, "two"]);
});

test("an allow-list with a bad line is taken and tells of it", () => {
  writeFileSync(path, `${A} one\nrubbish\n`);
  const list = new AllowList(path);
  expect(list.size).toBe(1);
  expect(list.problem).toContain("line 2");
  expect([list.reload(), list.problem!.includes("line 2")]).toEqual([false, true]);
});
