import { Buffer } from "node:buffer";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { formatRecord, gapRecord } from "../shared/record.ts";
import { ordinary, TemporaryFolder } from "../tests/fixtures.ts";
import {
  parsePseudonymKinds,
  PseudonymError,
  pseudonymiser,
  pseudonymKinds,
  readPseudonymKey,
} from "./pseudonyms.ts";

const key = Buffer.from("0123456789abcdef0123456789abcdef");
const both = pseudonymiser({ kinds: pseudonymKinds, key });
const replaced = (text: string, transform = both) => transform(ordinary(0, text)).text;

describe("a MAC address", () => {
  test("becomes this pseudonym under this key, in every version of this program", () => {
    expect(replaced("from 00:1a:7d:da:71:13 ok")).toBe("from 02:7e:54:6f:d8:66 ok");
  });

  test("has one pseudonym in each way of writing it", () => {
    const pseudonym = replaced("00:1a:7d:da:71:13");
    const dashes = pseudonym.replaceAll(":", "-");
    expect(replaced("00-1a-7d-da-71-13")).toBe(dashes);
    expect(replaced("00-1A-7D-DA-71-13")).toBe(dashes.toUpperCase());
    expect(replaced("00:1A:7d:Da:71:13")).toBe(pseudonym.toUpperCase());
  });

  test("has another pseudonym than another address, and under another key", () => {
    const other = pseudonymiser({ kinds: ["mac"], key: Buffer.alloc(32, 7) });
    const macs = Array.from(
      { length: 256 },
      (_, i) => `00:1a:7d:da:71:${i.toString(16).padStart(2, "0")}`,
    );
    const all = [...macs.map((mac) => replaced(mac)), ...macs.map((mac) => replaced(mac, other))];
    expect(new Set(all).size).toBe(512);
    expect(all.every((made) => /^02(:[0-9a-f]{2}){5}$/.test(made))).toBe(true);
  });

  test("is left alone where it names nobody", () => {
    for (const mac of ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", "33-33-00-00-00-01"]) {
      expect(replaced(mac)).toBe(mac);
    }
    expect(replaced("00:00:00:00:00:00")).toBe("00:00:00:00:00:00");
  });

  test("is found wherever it stands", () => {
    const mac = "a0:1a:7d:da:71:13";
    const made = replaced(mac);
    for (
      const around of ["_", "(_)", "mac=_,x", "STA_", "_: up", "wlan0:_", "_.", "1_2", "_ _", "<_>"]
    ) {
      expect(replaced(around.replaceAll("_", mac))).toBe(around.replaceAll("_", made));
    }
  });

  test("is found in netfilter's MAC=, which is two addresses and a type", () => {
    const [to, from] = ["a0:00:00:00:00:01", "a0:00:00:00:00:02"];
    expect(replaced(`MAC=${to}:${from}:08:00 SRC`))
      .toBe(`MAC=${replaced(to)}:${replaced(from)}:08:00 SRC`);
    expect(replaced(`MAC=ff:ff:ff:ff:ff:ff:${from}:08:00`))
      .toBe(`MAC=ff:ff:ff:ff:ff:ff:${replaced(from)}:08:00`);
  });

  test("isn't seen in what only looks a little like one", () => {
    for (
      const text of [
        "12:34:56 up",
        "2026-11-22-10-33-44",
        "a0:1a:7d:da:71",
        "a0:1a-7d:da-71:13",
        "pci 0000:00:1f.2",
        "550e8400-e29b-41d4-a716-446655440000",
        "a0:1a:7d:da:71:1",
      ]
    ) expect(replaced(text)).toBe(text);
  });
});

describe("an IPv4 address", () => {
  test("becomes this pseudonym under this key, in every version of this program", () => {
    expect(replaced("SRC=192.168.1.5 DST")).toBe("SRC=248.143.11.174 DST");
    expect(replaced("192.168.001.005")).toBe("248.143.11.174");
  });

  test("becomes one that nobody has", () => {
    for (let i = 1; i < 2_000; i++) {
      const made = replaced(`10.0.${i >> 8}.${i & 255}`);
      const numbers = made.split(".").map(Number);
      expect(numbers.length).toBe(4);
      expect(numbers[0]! >= 240 && numbers[0]! < 255).toBe(true);
      expect(numbers.every((number) => number <= 255)).toBe(true);
    }
  });

  test("is left alone where it names nobody", () => {
    for (
      const text of ["127.0.0.1", "127.3.2.1", "0.0.0.0", "255.255.255.255", "255.255.255.0"]
    ) expect(replaced(text)).toBe(text);
    expect(replaced("224.0.0.251 239.255.255.250")).toBe("224.0.0.251 239.255.255.250");
  });

  test("is found wherever it stands, also before a port", () => {
    const made = replaced("10.1.2.3");
    for (const around of ["_", "[_]", "_:53", "_.443 > _.53:", "_/24", "::ffff:_", "v_", "by _."]) {
      expect(replaced(around.replaceAll("_", "10.1.2.3"))).toBe(around.replaceAll("_", made));
    }
  });

  test("isn't seen in what has other numbers", () => {
    for (
      const text of [
        "1.3.6.1.4.1.2021",
        "10.1.2",
        "10.1.2.256",
        "10.1.2.3000",
        "1.2..3.4",
        "6.18.0",
      ]
    ) expect(replaced(text)).toBe(text);
  });
});

describe("a pseudonymised record", () => {
  test("has its continuation lines replaced, and nothing else changed", () => {
    const record = {
      ...ordinary(5, "a 10.1.2.3 b"),
      fields: "caller=10.1.2.3",
      more: ["DEVICE=a0:1a:7d:da:71:13", "SUBSYSTEM=net"],
    };
    const before = structuredClone(record);
    const text = `a ${replaced("10.1.2.3")} b`;
    const more = [`DEVICE=${replaced("a0:1a:7d:da:71:13")}`, "SUBSYSTEM=net"];
    expect(both(record)).toEqual({ ...record, text, more });
    expect(record).toEqual(before);
  });

  test("without an address is the record itself", () => {
    const record = ordinary(5, "usb 1-1: new high-speed USB device at 12:34:56, 1.5 A");
    expect(both(record)).toBe(record);
    const gap = gapRecord(1, 1, { first: 0, last: 0, count: 1, cause: "lost" });
    expect(formatRecord(both(gap))).toBe(formatRecord(gap));
  });

  test("keeps its escapes: what an escape ends isn't part of an address", () => {
    const mac = "a0:1a:7d:da:71:13";
    expect(replaced(`\\x09${mac}\\x0a`)).toBe(`\\x09${replaced(mac)}\\x0a`);
    expect(replaced("\\x0910.1.2.3\\x0a")).toBe(`\\x09${replaced("10.1.2.3")}\\x0a`);
    for (
      const text of [
        "\\x0a:1a:7d:da:71:13",
        "\\x0a-1a-7d-da-71-13",
        "10.1.\\x32.2.3",
        "\\x5cxa0:1a:7d:da:71",
      ]
    ) {
      expect(replaced(text)).toBe(text);
    }
  });

  test("has only those kinds replaced that were asked for", () => {
    const text = "a0:1a:7d:da:71:13 10.1.2.3";
    const onlyMac = replaced(text, pseudonymiser({ kinds: ["mac"], key }));
    const onlyIpv4 = replaced(text, pseudonymiser({ kinds: ["ipv4"], key }));
    expect(onlyMac).toBe(`${replaced("a0:1a:7d:da:71:13")} 10.1.2.3`);
    expect(onlyIpv4).toBe(`a0:1a:7d:da:71:13 ${replaced("10.1.2.3")}`);
  });

  test("has the same pseudonyms after many others were forgotten", () => {
    const first = replaced("10.1.2.3");
    for (let i = 0; i < 10_000; i++) replaced(`11.0.${i >> 8}.${i & 255}`);
    expect(replaced("10.1.2.3")).toBe(first);
  });
});

describe("the kinds of pseudonyms", () => {
  test("are read from a list, and another word is refused", () => {
    expect(parsePseudonymKinds("mac,ipv4")).toEqual(["mac", "ipv4"]);
    expect(parsePseudonymKinds("ipv4")).toEqual(["ipv4"]);
    for (const text of ["", "mac,", "ipv6"]) {
      expect(() => parsePseudonymKinds(text)).toThrow(PseudonymError);
    }
  });
});

describe("a pseudonym key", () => {
  test("is the bytes of its file", () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "key");
    writeFileSync(path, key, { mode: 0o600 });
    expect(Buffer.from(readPseudonymKey(path))).toEqual(key);
  });

  test("that can't be used says why, and how to make one", () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "key");
    const expectError = (why: RegExp, at = path) => {
      expect(() => readPseudonymKey(at)).toThrow(why);
      expect(() => readPseudonymKey(at)).toThrow(/head -c 32 \/dev\/urandom/);
    };
    expectError(/must be readable: current value is ENOENT/);
    writeFileSync(path, key, { mode: 0o600 });
    chmodSync(path, 0o640);
    expectError(/owner only: current value is mode 0640/);
    chmodSync(path, 0o600);
    writeFileSync(path, key.subarray(1));
    expectError(/32 to 4096 bytes: current value is 31 bytes/);
    mkdirSync(join(folder.path, "folder"));
    expectError(/must be a file/, join(folder.path, "folder"));
    expectError(/must be a file/, "/dev/urandom");
  });
});
