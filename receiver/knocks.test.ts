import { expect, test } from "bun:test";
import { FakeBucket } from "../shared/allowlist_fake_bucket.ts";
import { bucketPlaces } from "../shared/allowlist_object.ts";
import { limits } from "../shared/limits.ts";
import { AuthError } from "../shared/token.ts";
import { formatKnocks, Knocks, parseKnocks, readKnocks } from "./knocks.ts";

const startMs = Date.UTC(2026, 10, 22, 12);
const key = (number: number) => String(number).padStart(43, "k");

class Door {
  readonly bucket = new FakeBucket();
  readonly places = bucketPlaces(this.bucket, "");
  readonly place = this.places.at("knocked/r1");
  ms = startMs;
  knocks: Knocks;

  constructor(private readonly knocksMax?: number) {
    this.knocks = new Knocks(this.options());
  }

  options() {
    const room = this.knocksMax === undefined ? {} : { knocksMax: this.knocksMax };
    return { place: this.place, nowMs: () => this.ms, ...room };
  }

  /** Saves, and gives the keys that are kept. */
  async kept(): Promise<string[]> {
    await this.knocks.save("end");
    return parseKnocks(this.bucket.objects.get("knocked/r1") ?? "").knocks
      .map(({ thumbprint }) => thumbprint);
  }
}

test("knocks are kept with address, first and last time and count", async () => {
  const door = new Door();
  door.knocks.note(key(1), "192.0.2.7");
  door.ms += 60_000;
  door.knocks.note(key(2), undefined);
  door.knocks.note(key(1), "192.0.2.8");
  await door.knocks.save("end");
  expect(await readKnocks(door.places, door.ms)).toEqual({
    knocks: [
      { thumbprint: key(2), address: "-", firstMs: door.ms, lastMs: door.ms, count: 1 },
      { thumbprint: key(1), address: "192.0.2.8", firstMs: startMs, lastMs: door.ms, count: 2 },
    ],
    forgotten: 0,
  });
});

test("knocks have a text that doesn't change its form", () => {
  const knocks = [
    {
      thumbprint: key(1),
      address: "2001:db8::7",
      firstMs: startMs,
      lastMs: startMs + 5,
      count: 12,
    },
  ];
  const text = `${
    key(1)
  } 2001:db8::7 2026-11-22T12:00:00.000Z 2026-11-22T12:00:00.005Z 12\nforgotten 3\n`;
  expect(formatKnocks(knocks, 3)).toBe(text);
  expect(parseKnocks(text)).toEqual({ knocks, forgotten: 3 });
});

test("knocks that were damaged are skipped, and harm no other", () => {
  const good = `${key(1)} - 2026-11-22T12:00:00.000Z 2026-11-22T12:00:00.000Z 1`;
  const lines = [
    "rubbish",
    good.replace("12:00", "99:00"),
    good.replace(" 1", " x"),
    good.slice(0, 70),
    `${key(2)} a b c 2`,
  ];
  expect(parseKnocks([...lines, good, ""].join("\n")).knocks.map(({ thumbprint }) => thumbprint))
    .toEqual([key(1)]);
});

test("an address that isn't one doesn't get into the text", async () => {
  const door = new Door();
  for (const bad of ["1 2", "a\nb", "", "x".repeat(65), "[::1]"]) door.knocks.note(key(1), bad);
  await door.kept();
  expect(door.bucket.objects.get("knocked/r1")).toStartWith(`${key(1)} - 2026-`);
});

test("only a key that signed and isn't listed is a knock, and whoever asks is told as before", async () => {
  const door = new Door();
  const errors = [
    new AuthError("unknown_device", "m", key(1)),
    new AuthError("unknown_device", "m"),
    new AuthError("bad_token", "m", key(2)),
    new Error("m"),
  ];
  for (const error of errors) {
    const identify = door.knocks.noting(() => Promise.reject(error));
    const seen = await identify(new Headers(), () => "192.0.2.7").catch((seen) => seen);
    expect(seen).toBe(error);
  }
  expect(await door.knocks.noting(() => Promise.resolve(5))(new Headers(), () => "-")).toBe(5);
  expect(await door.kept()).toEqual([key(1)]);
});

test("a flood of keys from one address pushes out only its own, and is counted", async () => {
  const door = new Door(10);
  for (let i = 0; i < 5; i++) door.knocks.note(key(i), `192.0.2.${i}`);
  for (let i = 0; i < 1_000; i++) door.knocks.note(key(100 + i), "198.51.100.1");
  expect(await door.kept())
    .toEqual([0, 1, 2, 3, 4, 1095, 1096, 1097, 1098, 1099].map(key));
  expect([door.knocks.size, door.knocks.forgotten]).toEqual([10, 995]);
});

test("a flood from one IPv6 network counts as one address, however it is written", async () => {
  const same = ["2001:db8::7:1", "2001:0DB8:0:0:8::", "2001:db8:0:0:1:2:3:4", "2001:db8:0::"];
  const others = ["192.0.2.1", "2001:db8:0:1::1", "::1", "fe80::1%eth0"];
  for (const [i, other] of others.entries()) {
    const door = new Door(9);
    // Four keys of each: were they two networks, the other would have more.
    for (let n = 0; n < 4; n++) door.knocks.note(key(n), other);
    for (let n = 0; n < 6; n++) door.knocks.note(key(100 + n), same[(i + n) % 4]);
    const kept = await door.kept();
    expect([0, 1, 2, 3].map((n) => kept.includes(key(n)))).toEqual([true, true, true, true]);
  }
});

test("an IPv4 address is the same one in IPv6's clothes", async () => {
  const door = new Door(9);
  for (let i = 0; i < 4; i++) door.knocks.note(key(i), "::1");
  for (let i = 0; i < 6; i++) {
    door.knocks.note(key(100 + i), ["192.0.2.1", "::FFFF:192.0.2.1"][i % 2]);
  }
  expect((await door.kept()).slice(0, 4)).toEqual([0, 1, 2, 3].map(key));
  door.knocks.note(key(200), "::ffff:198.51.100.1");
  expect((await door.kept()).slice(0, 4)).toEqual([0, 1, 2, 3].map(key));
});

test("a device behind the flood's own address stays once it has knocked again", async () => {
  const door = new Door(10);
  door.knocks.note(key(1), "198.51.100.1");
  door.ms += 1;
  door.knocks.note(key(1), "198.51.100.1");
  for (let i = 0; i < 100; i++) door.knocks.note(key(100 + i), "198.51.100.1");
  expect(await door.kept()).toContain(key(1));
});

test("a flood from many addresses forgets those who knocked least, for longest not", async () => {
  const door = new Door(10);
  for (let i = 0; i < 10; i++) {
    door.ms += 1;
    door.knocks.note(key(i), `192.0.2.${i}`);
    if (i !== 3 && i !== 5) door.knocks.note(key(i), `192.0.2.${i}`);
  }
  door.knocks.note(key(100), "203.0.113.1");
  const kept = await door.kept();
  expect([kept.includes(key(3)), kept.includes(key(5)), kept.includes(key(100))])
    .toEqual([false, true, true]);
  expect(door.knocks.forgotten).toBe(1);
});

test("knocks of long ago make room first, and aren't shown", async () => {
  const door = new Door(3);
  for (let i = 0; i < 3; i++) door.knocks.note(key(1), "192.0.2.1");
  await door.knocks.save("end");
  door.ms += limits.knockAgeMsMax + 1;
  expect((await readKnocks(door.places, door.ms)).knocks).toEqual([]);
  door.knocks.note(key(2), "192.0.2.2");
  expect(await door.kept()).toEqual([key(2)]);
  expect(door.knocks.forgotten).toBe(0);
});

test("knocks of those who are let in by now are let go of", async () => {
  const door = new Door();
  door.knocks.note(key(1), "192.0.2.1");
  door.knocks.note(key(2), "192.0.2.1");
  await door.knocks.save("end");
  door.knocks.admitted((thumbprint) => thumbprint === key(1));
  expect(await door.kept()).toEqual([key(2)]);
});

test("knocks are saved when they changed, and not too often", async () => {
  const door = new Door();
  const text = () => door.bucket.objects.get("knocked/r1");
  await door.knocks.save();
  expect(text()).toBeUndefined();
  door.knocks.note(key(1), "192.0.2.1");
  await door.knocks.save();
  const first = text();
  expect(first).toContain(key(1));
  door.knocks.note(key(2), "192.0.2.1");
  door.ms += limits.knocksSaveMs - 1;
  await door.knocks.save();
  expect(text()).toBe(first);
  door.ms += 1;
  await door.knocks.save();
  expect(text()).toContain(key(2));
  door.bucket.objects.delete("knocked/r1");
  door.ms += limits.knocksSaveMs;
  await door.knocks.save();
  expect(text()).toBeUndefined();
  door.ms -= 3_600_000; // The clock is set back.
  door.knocks.note(key(3), "192.0.2.1");
  await door.knocks.save();
  expect(text()).toContain(key(3));
});

test("knocks that can't be saved are kept, and saved when they can be", async () => {
  const door = new Door();
  door.knocks.note(key(1), "192.0.2.1");
  door.bucket.reachable = false;
  await door.knocks.save();
  expect(door.knocks.problem).toContain("ECONNREFUSED");
  door.bucket.reachable = true;
  await door.knocks.save();
  expect(door.bucket.objects.size).toBe(0);
  door.ms += limits.knocksSaveMs;
  await door.knocks.save();
  expect([door.bucket.objects.size, door.knocks.problem]).toEqual([1, undefined]);
});

test("knocks go on after a restart", async () => {
  const door = new Door(2);
  for (const i of [1, 2, 3]) door.knocks.note(key(i), `192.0.2.${i}`);
  await door.knocks.save("end");
  door.knocks = await Knocks.open(door.options());
  door.ms += 5;
  door.knocks.note(key(3), "192.0.2.3");
  await door.knocks.save("end");
  const { knocks, forgotten } = await readKnocks(door.places, door.ms);
  expect(knocks.map(({ thumbprint, count, firstMs }) => [thumbprint, count, firstMs])).toEqual([
    [key(3), 2, startMs],
    [key(2), 1, startMs],
  ]);
  expect(forgotten).toBe(1);
});

test("knocks begin anew where what was saved can't be read", async () => {
  const door = new Door();
  door.bucket.reachable = false;
  const knocks = await Knocks.open(door.options());
  expect([knocks.size, knocks.problem !== undefined]).toEqual([0, true]);
});

test("knocks at several receivers are shown together, each key once", async () => {
  const door = new Door();
  const at = (second: number) => startMs + second * 1000;
  const knock = (number: number, address: string, first: number, last: number, count: number) => ({
    thumbprint: key(number),
    address,
    firstMs: at(first),
    lastMs: at(last),
    count,
  });
  const texts = [
    formatKnocks([knock(1, "192.0.2.1", 5, 10, 2), knock(2, "192.0.2.2", 1, 2, 3)], 4),
    formatKnocks([knock(1, "192.0.2.9", 3, 20, 5)], 1),
  ];
  texts.forEach((text, i) => door.bucket.objects.set(`knocked/r${i}`, text));
  expect(await readKnocks(door.places, at(30))).toEqual({
    knocks: [knock(1, "192.0.2.9", 3, 20, 7), knock(2, "192.0.2.2", 1, 2, 3)],
    forgotten: 5,
  });
});
