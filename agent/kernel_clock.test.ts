import { describe, expect, test } from "bun:test";
import { bootId, KernelClock, monotonicNowUs } from "./kernel_clock.ts";

const second = 1e6;

function setUp(bootedSeconds = 1_000) {
  const clock = { ms: 5_000 };
  const start = bootedSeconds * second;
  const kernel = new KernelClock(() => clock.ms, () => start);
  const monotonicUs = () => start + (clock.ms - 5_000) * 1_000;
  return { clock, kernel, monotonicUs };
}

describe("the kernel's clock", () => {
  test("goes on from the monotonic clock at the start", () => {
    const { clock, kernel } = setUp();
    expect(kernel.nowUs()).toBe(1_000 * second);
    clock.ms += 1_234.5;
    expect(kernel.nowUs()).toBe(1_001.2345 * second);
  });

  test("learns the drift from the freshest record that it saw", () => {
    const { clock, kernel, monotonicUs } = setUp();
    // The stamps are 30 ms behind; a record is read up to 50 ms after it was printed.
    for (const delayUs of [50_000, 200, 20_000]) {
      clock.ms += 100;
      kernel.observe(monotonicUs() - 30_000 - delayUs);
    }
    expect(kernel.nowUs()).toBe(monotonicUs() - 30_200);
  });

  test("learns of stamps that are ahead as well", () => {
    const { kernel, monotonicUs } = setUp();
    kernel.observe(monotonicUs() + 40_000);
    expect(kernel.nowUs()).toBe(monotonicUs() + 40_000);
  });

  test("takes nothing from old records: minutes are no drift", () => {
    const { kernel, monotonicUs } = setUp();
    for (const ageSeconds of [900, 400, 5]) kernel.observe(monotonicUs() - ageSeconds * second);
    expect(kernel.nowUs()).toBe(monotonicUs());
  });

  test("allows more drift the longer the machine has been up", () => {
    for (const [bootedSeconds, believed] of [[1_000, false], [10_000, true]] as const) {
      const { kernel, monotonicUs } = setUp(bootedSeconds);
      kernel.observe(monotonicUs() - 3 * second);
      expect(kernel.nowUs()).toBe(monotonicUs() - (believed ? 3 * second : 0));
    }
  });

  test("forgets a drift that is no more, after two windows", () => {
    const { clock, kernel, monotonicUs } = setUp(100_000);
    kernel.observe(monotonicUs() - 10_000);
    for (let window = 0; window < 2; window++) {
      clock.ms += 601_000;
      kernel.observe(monotonicUs() - 50_000);
    }
    expect(kernel.nowUs()).toBe(monotonicUs() - 50_000);
  });
});

test("the monotonic clock and the boot id are read from this machine", () => {
  const first = monotonicNowUs();
  expect(first).toBeGreaterThan(0);
  expect(monotonicNowUs()).toBeGreaterThanOrEqual(first);
  expect(bootId()).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});
