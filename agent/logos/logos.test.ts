import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { Logos, LogosError, type LogosOptions, parseProgram } from "./logos.ts";

function setUp(options: Partial<LogosOptions> = {}) {
  const clock = { ms: 0 };
  const written: string[] = [];
  const logos = new Logos({
    name: "app",
    burstBytes: 1_000_000,
    dayBytes: 5_000_000,
    write: (record) => void written.push(Buffer.from(record).toString()),
    nowMs: () => clock.ms,
    ...options,
  });
  return { clock, logos, take: () => written.splice(0) };
}

const splitWarning = "<4>app: W: previous log line was split. Use shorter lines.\n";

describe("logos", () => {
  const goldens: Array<[what: string, chunks: string[], records: string[]]> = [
    ["writes each line in one write", ["one\ntwo\n"], ["<7>app: one\n", "<7>app: two\n"]],
    ["joins what comes in pieces", ["o", "n", "e\nt", "wo\n"], ["<7>app: one\n", "<7>app: two\n"]],
    ["keeps empty lines", ["\n\na\n"], ["<7>app: \n", "<7>app: \n", "<7>app: a\n"]],
    ["writes a last line without a newline", ["one\ntwo"], ["<7>app: one\n", "<7>app: two\n"]],
    ["adds no empty line at the end", ["one\n", ""], ["<7>app: one\n"]],
    ["reads \\r\\n as one end", ["one\r\ntwo\r", "\n"], ["<7>app: one\n", "<7>app: two\n"]],
    ["gives each line its level", ["E: a\nb\nI: c\n"], [
      "<3>app: E: a\n",
      "<7>app: b\n",
      "<6>app: I: c\n",
    ]],
    ["warns behind a line that was split", [`w: ${"x".repeat(1_100)}\nnext\n`], [
      `<4>app: w: ${"x".repeat(1_012)}\n`,
      `<4>app: ${"x".repeat(88)}\n`,
      splitWarning,
      "<7>app: next\n",
    ]],
    ["warns behind a last line that was split", ["x".repeat(1_016)], [
      `<7>app: ${"x".repeat(1_015)}\n`,
      "<7>app: x\n",
      splitWarning,
    ]],
  ];
  for (const [what, chunks, records] of goldens) {
    test(what, () => {
      const { logos, take } = setUp();
      for (const chunk of chunks) logos.push(Buffer.from(chunk));
      logos.end();
      expect(take()).toEqual(records);
    });
  }

  test("writes the same however the bytes are cut into pieces", () => {
    const bytes = Buffer.from(`E: caf\u00e9\t\u{1f600}\r\n\n${"\u20ac".repeat(700)}\nend`);
    const inOne = setUp();
    inOne.logos.push(bytes);
    inOne.logos.end();
    const inMany = setUp();
    for (const byte of bytes) inMany.logos.push(Buffer.from([byte]));
    inMany.logos.end();
    expect(inMany.take()).toEqual(inOne.take());
  });

  test("takes a line as text or bytes; one that holds newlines is several", () => {
    const { logos, take } = setUp();
    logos.line("caf\u00e9");
    logos.line(Buffer.from("a\nb"));
    expect(take()).toEqual(["<7>app: caf\u00e9\n", "<7>app: a\n", "<7>app: b\n"]);
  });

  test("leaves the underscores of the name out", () => {
    const { logos, take } = setUp({ name: "_my_app_" });
    logos.line("x");
    expect(take()).toEqual(["<7>myapp: x\n"]);
  });

  test("counts prefix, text and newline as a line's cost", () => {
    // Half of half of 2,400 is 600: three times `<7>app: ` and 191 and 1.
    const { logos, take } = setUp({ burstBytes: 2_400 });
    for (let n = 0; n < 4; n++) logos.line("x".repeat(191));
    const [first, second, third, ...rest] = take();
    expect([first, second, third].map((record) => record!.length)).toEqual([200, 200, 200]);
    expect(rest).toEqual([
      "<4>app: W: burst limit: dropping messages to prevent overflow (4 bytes/sec).\n",
    ]);
  });

  test("says what it dropped in the place where it happened", () => {
    const { clock, logos, take } = setUp({ burstBytes: 60_000 });
    let passed = 0;
    for (let n = 0; n < 200; n++) logos.line(`line ${n} ${"x".repeat(80)}`);
    const first = take();
    passed += first.filter((record) => record.startsWith("<7>app: line ")).length;
    expect(first.at(-1)).toBe(
      "<4>app: W: burst limit: dropping messages to prevent overflow (100 bytes/sec).\n",
    );
    clock.ms += 5_000;
    logos.line("after");
    expect(take()).toEqual([
      `<4>app: W: burst limit: ${200 - passed} messages were dropped.\n`,
      "<7>app: after\n",
    ]);
  });

  test("refills, lifts and restores, and says so", () => {
    const { logos, take } = setUp({ burstBytes: 600 });
    logos.line("x".repeat(200));
    logos.refill();
    logos.line("y");
    logos.lift();
    logos.line("z".repeat(1_000));
    logos.restore();
    logos.line("z".repeat(1_000));
    expect(take().map((record) => record.replace(/(.)\1{99,}/, "$1..."))).toEqual([
      "<4>app: W: burst limit: dropping messages to prevent overflow (1 bytes/sec).\n",
      "<4>app: W: burst limit: 1 messages were dropped.\n",
      "<7>app: y\n",
      "<4>app: W: SIGUSR1: rate limit disabled.\n",
      "<7>app: z...\n",
      "<4>app: W: SIGUSR2: rate limit re-enabled.\n",
      "<4>app: W: burst limit: dropping messages to prevent overflow (1 bytes/sec).\n",
    ]);
  });

  test("tells of drops when it is asked or ended, though no line comes any more", () => {
    for (const tell of ["tick", "end"] as const) {
      const { clock, logos, take } = setUp({ burstBytes: 600 });
      logos.line("x".repeat(900));
      clock.ms += 1_000_000;
      take();
      logos[tell]();
      expect(take()).toEqual(["<4>app: W: burst limit: 1 messages were dropped.\n"]);
    }
  });

  test("warns of no split where nothing of the line was written", () => {
    const { logos, take } = setUp({ burstBytes: 600 });
    logos.line("x".repeat(2_000));
    expect(take().filter((record) => record.includes("split"))).toEqual([]);
  });
});

describe("a write that fails", () => {
  function setUpFailing() {
    const state = { code: "" };
    const written: string[] = [];
    const write = (record: Uint8Array) => {
      if (state.code !== "") throw Object.assign(new Error("refused"), { code: state.code });
      written.push(Buffer.from(record).toString());
    };
    return { state, ...setUp({ write }), take: () => written.splice(0) };
  }

  test("is counted, and told before the next one that succeeds", () => {
    const { state, logos, take } = setUpFailing();
    logos.line("one");
    state.code = "EINVAL";
    for (let n = 0; n < 3; n++) logos.line("two");
    state.code = "";
    logos.line("three");
    logos.line("four");
    expect(take()).toEqual([
      "<7>app: one\n",
      "<4>app: W: write failed (EINVAL): 3 messages were dropped.\n",
      "<7>app: three\n",
      "<7>app: four\n",
    ]);
  });

  test("is told also where no line follows", () => {
    for (const tell of ["tick", "end"] as const) {
      const { state, logos, take } = setUpFailing();
      state.code = "EIO";
      logos.line("lost");
      logos[tell]();
      state.code = "";
      logos[tell]();
      expect(take()).toEqual(["<4>app: W: write failed (EIO): 1 messages were dropped.\n"]);
    }
  });
});

describe("a program's words", () => {
  test("are a name and two limits, which have defaults", () => {
    const defaults = { name: "app", burstBytes: 1_000_000, dayBytes: 5_000_000 };
    expect(parseProgram(["app"])).toEqual(defaults);
    expect(parseProgram(["app", "0", "0"])).toEqual(defaults);
    expect(parseProgram(["app", "600"])).toEqual({ ...defaults, burstBytes: 600 });
    expect(parseProgram(["app", "0", "86400"])).toEqual({ ...defaults, dayBytes: 86_400 });
  });

  test("that won't do are refused with what they must be", () => {
    const message = (words: string[]) => {
      try {
        parseProgram(words);
      } catch (error) {
        expect(error).toBeInstanceOf(LogosError);
        return (error as Error).message;
      }
      return expect.unreachable();
    };
    expect(message(["app", "599"])).toBe(
      'Cannot log because BURST must be 0 or at least 600 bytes: it is "599"',
    );
    expect(message(["app", "0", "86399"])).toBe(
      'Cannot log because DAY must be 0 or at least 86400 bytes: it is "86399"',
    );
    expect(message(["app", "1e6"])).toInclude('it is "1e6"');
    expect(message(["app", "-5"])).toInclude('it is "-5"');
    expect(message([])).toInclude("there must be NAME [BURST] [DAY]");
    expect(message(["app", "1", "2", "3"])).toInclude("there must be NAME [BURST] [DAY]");
    expect(message(["a b"])).toInclude("NAME must be letters");
    expect(message(["___"])).toInclude('it is "___"');
  });
});
