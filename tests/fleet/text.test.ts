import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { extract } from "../../grinder/rule.ts";
import rules from "../../rules.ts";
import { seededRandom } from "./random.ts";
import { type LogLine, LogText } from "./text.ts";

function linesOf(seed: number, count: number): LogLine[] {
  const text = new LogText(seededRandom(seed), `device${seed}`);
  return Array.from({ length: count }, () => text.next());
}

function matching(line: LogLine): string[] {
  return rules.filter((rule) => extract(rule, line.text) !== null).map((rule) => rule.name);
}

/** As a record: `PRIO,SEQ,USEC,-;` of a device that has been up for an hour, text escaped, `\n`. */
function recordBytes(line: LogLine): number {
  const bytes = Buffer.from(line.text);
  const escaped = bytes.filter((byte) => byte < 0x20 || byte >= 0x7f || byte === 0x5c).length;
  const more = line.more.reduce((sum, text) => sum + text.length + 2, 0);
  return `${line.prio},100000,3600000000,-;`.length + bytes.length + 3 * escaped + 1 + more;
}

describe("seededRandom", () => {
  test("gives the same numbers for a seed, others for another, evenly in [0, 1)", () => {
    const [a, b, c] = [seededRandom(7), seededRandom(7), seededRandom(8)];
    const numbers = Array.from({ length: 10_000 }, () => a());
    expect(numbers.slice(0, 100)).toEqual(Array.from({ length: 100 }, () => b()));
    expect(numbers.slice(0, 100)).not.toEqual(Array.from({ length: 100 }, () => c()));
    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
    expect(numbers.reduce((sum, number) => sum + number) / numbers.length).toBeCloseTo(0.5, 1);
  });
});

describe("LogText", () => {
  test("gives the same text for the same seed, and other text for another", () => {
    expect(linesOf(1, 2000)).toEqual(linesOf(1, 2000));
    expect(linesOf(1, 2000)).not.toEqual(linesOf(2, 2000));
  });

  test("is matched by the shipped rules in 0.5 % to 3 % of its lines, by one rule each", () => {
    for (const seed of [1, 2, 3]) {
      const names = linesOf(seed, 20_000).map(matching);
      const share = names.filter((of) => of.length > 0).length / names.length;
      expect(share).toBeGreaterThan(0.005);
      expect(share).toBeLessThan(0.03);
      expect(names.filter((of) => of.length > 1)).toEqual([]);
    }
  });

  test("makes records of 86 bytes on average, nearly all of 50 to 160", () => {
    const sizes = linesOf(4, 20_000).map(recordBytes);
    const average = sizes.reduce((sum, size) => sum + size) / sizes.length;
    expect(average).toBeGreaterThan(82);
    expect(average).toBeLessThan(90);
    const usual = sizes.filter((size) => size >= 50 && size <= 160).length;
    expect(usual / sizes.length).toBeGreaterThan(0.98);
  });

  test("sooner or later has something for every common rule", () => {
    const common = [
      ...["dns_latency", "dns_failure", "ping_rtt", "ping_loss", "temperature", "fan_speed"],
      ...["wifi_assoc", "wifi_deauth", "wifi_firmware_crash", "link_up", "link_down", "link_ready"],
      ...["dhcp_lease", "dhcp_given", "dhcp_failure", "ppp_down", "carrier_lost", "ssh_failure"],
      ...["usb_disconnect", "usb_device_error", "storage_error", "fs_error", "mmc_error"],
      ...["oom_kill", "segfault", "kernel_warning", "hung_task", "thermal", "logos_dropped"],
    ];
    let unseen = rules.filter((rule) => common.includes(rule.name));
    expect(unseen.length).toBe(common.length);
    for (const { text } of linesOf(5, 200_000)) {
      unseen = unseen.filter((rule) => extract(rule, text) === null);
    }
    expect(unseen.map((rule) => rule.name)).toEqual([]);
  });

  test("has continuation lines, control bytes and non-ASCII text now and then", () => {
    const lines = linesOf(6, 20_000);
    const share = (is: (line: LogLine) => boolean) => lines.filter(is).length / lines.length;
    expect(share((line) => line.more.length > 0)).toBeGreaterThan(0.002);
    expect(share((line) => /[^ -~\u0080-\uffff]/.test(line.text))).toBeGreaterThan(0.001);
    expect(share((line) => /[\u0080-\uffff]/.test(line.text))).toBeGreaterThan(0.001);
    expect(lines.filter((line) => line.text.includes("\n"))).toEqual([]);
    const more = lines.flatMap((line) => line.more);
    expect(more.filter((text) => !/^[A-Z]+=[\x20-\x7e]+$/.test(text))).toEqual([]);
  });

  test("leaves nothing unfilled, on every model", () => {
    for (let seed = 0; seed < 12; seed++) {
      const text = new LogText(seededRandom(seed), "device");
      const lines = Array.from({ length: 5000 }, () => text.next());
      lines.push(...text.boot(), ...text.shutdown(), ...text.panic());
      expect(lines.filter((line) => /\{[a-z]|undefined|NaN/.test(line.text))).toEqual([]);
      expect(lines.every((line) => line.prio >= 0 && line.prio < 192)).toBe(true);
    }
  });

  test("boots with a Linux version, ends in a clean reboot, and dies in a panic", () => {
    const text = new LogText(seededRandom(9), "device");
    const boot = text.boot();
    expect(boot.length).toBeGreaterThanOrEqual(20);
    expect(boot.length).toBeLessThanOrEqual(40);
    expect(matching(boot[0]!)).toEqual(["boot"]);
    expect(matching(text.shutdown().at(-1)!)).toEqual(["clean_reboot"]);
    expect(text.panic().flatMap(matching)).toEqual(["kernel_bug", "kernel_oops", "kernel_panic"]);
  });
});
