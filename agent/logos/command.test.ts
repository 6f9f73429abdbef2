import { spawn } from "node:child_process";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { afterAll, describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { bunPath } from "../../tests/programs.ts";

const folder = new TemporaryFolder();
afterAll(() => folder[Symbol.dispose]());

/** The command as a program, with files in the place of the devices. */
const entry = join(folder.path, "logos.ts");
const paths = {
  kmsg: join(folder.path, "kmsg"),
  pmsg: join(folder.path, "pmsg"),
  printkDevkmsg: join(folder.path, "printk_devkmsg"),
};
writeFileSync(
  entry,
  `import { runLogos } from ${
    JSON.stringify(fileURLToPath(new URL("command.ts", import.meta.url)))
  };
process.exit(await runLogos(process.argv.slice(2), ${JSON.stringify(paths)}, ${
    JSON.stringify(folder.path)
  }));
`,
);

/** Starts it; its stdout and stderr are kept, and can be waited for. */
function start(args: string[], { debug = "1" } = {}) {
  const child = spawn(bunPath, [entry, ...args], { env: { ...process.env, LOGOS_DEBUG: debug } });
  const output = { stdout: "", stderr: "" };
  const waiting = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
      for (const wake of waiting) wake();
    });
  }
  const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on("close", (status) => resolve({ status, ...output }))
  );
  let isEnded = false;
  child.on("close", () => {
    isEnded = true;
    for (const wake of waiting) wake();
  });
  const says = async (text: string) => {
    while (!output.stdout.includes(text)) {
      if (isEnded) throw new Error(`it ended: ${output.stdout}${output.stderr}`);
      await new Promise<void>((resolve) => waiting.add(resolve));
    }
  };
  return { child, ended, says };
}

function run(args: string[], input = "", options = {}) {
  const { child, ended } = start(args, options);
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return ended;
}

describe("logos NAME", () => {
  test("copies the lines on standard input until it ends", async () => {
    expect(await run(["my_app"], "hello\nE: bad\t!\nlast")).toEqual({
      status: 0,
      stdout: "<7>myapp: hello\n<3>myapp: E: bad  !\n<7>myapp: last\n",
      stderr: "",
    });
  });

  test("keeps to the limits that it is given", async () => {
    const { stdout } = await run(["app", "4000", "86400"], "0123456789\n".repeat(100));
    const lines = stdout.trimEnd().split("\n");
    expect(lines.filter((line) => line === "<7>app: 0123456789").length).toBe(
      Math.floor(1_000 / 19),
    );
    expect(lines.slice(-2)).toEqual([
      "<4>app: W: burst limit: dropping messages to prevent overflow (6 bytes/sec).",
      "<4>app: W: burst limit: 48 messages were dropped.",
    ]);
  });

  test("writes to the kernel's log where it isn't debugged, and to pmsg if asked", async () => {
    for (const path of [paths.kmsg, paths.pmsg]) writeFileSync(path, "");
    expect(await run(["--pmsg", "app"], "one\n", { debug: "" }))
      .toEqual({ status: 0, stdout: "", stderr: "" });
    expect([paths.kmsg, paths.pmsg].map((path) => readFileSync(path, "utf8")))
      .toEqual(["<7>app: one\n", "<7>app: one\n"]);
  });

  test("says what to set where the kernel would drop lines, and goes on", async () => {
    writeFileSync(paths.kmsg, "");
    writeFileSync(paths.printkDevkmsg, "ratelimit\n");
    const { status, stderr } = await run(["app"], "one\n", { debug: "" });
    writeFileSync(paths.printkDevkmsg, "on\n");
    expect([status, readFileSync(paths.kmsg, "utf8")]).toEqual([0, "<7>app: one\n"]);
    expect(stderr).toStartWith(
      "logmill-agent: Cannot log every line because kernel.printk_devkmsg",
    );
    expect(stderr.trimEnd().split("\n").length).toBe(1);
  });

  test("says what to do where journald copies the journal, to which it writes, to the log", async () => {
    for (const path of [paths.kmsg, paths.printkDevkmsg]) writeFileSync(path, "on\n");
    mkdirSync(join(folder.path, "etc/systemd"), { recursive: true });
    writeFileSync(join(folder.path, "etc/systemd/journald.conf"), "[Journal]\nForwardToKMsg=1\n");
    const journal = openSync(join(folder.path, "journal"), "w");
    const { dev, ino } = fstatSync(journal, { bigint: true });
    const env = { ...process.env, LOGOS_DEBUG: "", JOURNAL_STREAM: `${dev}:${ino}` };
    const child = spawn(bunPath, [entry, "app"], { env, stdio: ["ignore", "ignore", journal] });
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
    closeSync(journal);
    const said = readFileSync(join(folder.path, "journal"), "utf8");
    expect(said).toStartWith("logmill-agent: Cannot log each line once because journald must not");
    expect(said.trimEnd().split("\n").length).toBe(1);
  });

  test("that can't write says what to do, and ends with 1", async () => {
    rmSync(paths.kmsg, { force: true });
    const { status, stdout, stderr } = await run(["app"], "one\n", { debug: "0" });
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toStartWith(`logmill-agent: Cannot write to ${paths.kmsg} because it must be`);
  });

  test("refuses words that are off with 2, and explains itself with --help", async () => {
    for (const args of [[], ["a b"], ["app", "5"], ["app", "0", "5"], ["--frobnicate", "app"]]) {
      const { status, stdout, stderr } = await run(args);
      expect([args, status, stdout]).toEqual([args, 2, ""]);
      expect(stderr).not.toBe("");
    }
    const { status, stdout } = await run(["--help"]);
    expect([status, stdout.split("\n")[0]]).toEqual([
      0,
      "Usage: logmill-agent logos [--pmsg] NAME [BURST] [DAY] [-- CMD ARGS...]",
    ]);
  });

  test("writes what is there when SIGTERM comes, also half a line, and ends with 0", async () => {
    const { child, ended, says } = start(["app"]);
    child.stdin.write("one\n");
    await says("<7>app: one\n");
    child.stdin.write("two\nhalf");
    await new Promise<void>((resolve) => child.stdin.write("", () => resolve()));
    child.kill("SIGTERM");
    expect(await ended).toEqual({
      status: 0,
      stdout: "<7>app: one\n<7>app: two\n<7>app: half\n",
      stderr: "",
    });
  });

  test("lifts, restores and refills its limits by signals", async () => {
    const { child, ended, says } = start(["app", "2000"]);
    child.stdin.write(`${"x".repeat(200)}\n`.repeat(3));
    await says("dropping messages");
    child.kill("SIGHUP");
    await says("1 messages were dropped");
    child.kill("SIGUSR1");
    await says("SIGUSR1: rate limit disabled");
    child.stdin.write(`${"y".repeat(900)}\n`);
    await says(`<7>app: ${"y".repeat(900)}\n`);
    child.kill("SIGUSR2");
    await says("SIGUSR2: rate limit re-enabled");
    child.stdin.end();
    expect((await ended).status).toBe(0);
  });
});

describe("logos NAME -- CMD", () => {
  const sh = (script: string) => ["app", "--", "sh", "-c", script];

  test("copies what CMD prints on both outputs in its order, and passes its status on", async () => {
    const script = "for n in 1 2 3; do echo out $n; echo E: err $n >&2; done; exit 3";
    expect(await run(sh(script))).toEqual({
      status: 3,
      stdout: [1, 2, 3].map((n) => `<7>app: out ${n}\n<3>app: E: err ${n}\n`).join(""),
      stderr: "",
    });
  });

  test("gives CMD its words as they are, and its own standard input", async () => {
    const words = ["app", "0", "86400", "--", "sh", "-c", 'cat; printf "%s\\n" "$@"', "sh"];
    const { stdout } = await run([...words, "a b", "$HOME", "--", "--help", "'"], "from stdin\n");
    expect(stdout).toBe(
      ["from stdin", "a b", "$HOME", "--", "--help", "'"].map((s) => `<7>app: ${s}\n`).join(""),
    );
  });

  test("ends as CMD did that a signal has ended: 128 and its number", async () => {
    expect((await run(sh("echo a; kill -KILL $$"))).status).toBe(137);
  });

  test("ends with 127 and the shell's word where there is no CMD", async () => {
    const { status, stdout } = await run(["app", "--", "/nowhere/cmd"]);
    expect(status).toBe(127);
    expect(stdout).toMatch(/^<7>app: .*\/nowhere\/cmd.*\n$/);
  });

  test("passes SIGTERM on and waits for CMD's last words", async () => {
    const script = "trap 'echo last words; exit 5' TERM; echo ready; while :; do sleep 0.02; done";
    const { child, ended, says } = start(sh(script));
    await says("ready");
    child.kill("SIGTERM");
    expect(await ended).toEqual({
      status: 5,
      stdout: "<7>app: ready\n<7>app: last words\n",
      stderr: "",
    });
  });

  test("ends soon after CMD, though what CMD started keeps the output open", async () => {
    const { status, stdout } = await run(sh("sleep 30 & echo started; exit 4"));
    expect([status, stdout]).toEqual([4, "<7>app: started\n"]);
  });
});
