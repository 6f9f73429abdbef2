import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { parseGap } from "../shared/record.ts";
import { bunPath, root } from "../tests/programs.ts";
import { FakeClock, TemporaryFolder } from "../tests/fixtures.ts";
import { openSyslog, parseSyslog, SyslogSource } from "./syslog.ts";
import { DatagramError, openDatagrams } from "./unix_datagram.ts";

const parsed = (text: string) => parseSyslog(Buffer.from(text, "latin1"));
const has = (command: string) => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;

async function setUp(folder: TemporaryFolder, open?: typeof openDatagrams) {
  const path = join(folder.path, "log");
  const clock = new FakeClock();
  const reports: string[] = [];
  const source = await openSyslog({
    path,
    boot: "b1",
    nowUs: () => 7,
    sleep: clock.sleep,
    report: (text) => reports.push(text),
    ...(open ? { open } : {}),
  });
  return { path, clock, source, reports };
}

describe("a syslog message", () => {
  test("is a priority, a date that is dropped, and a text", () => {
    expect(parsed("<30>Jan  2 03:04:05 udhcpd[123]: sending OFFER"))
      .toEqual({ prio: 30, text: "udhcpd[123]: sending OFFER" });
    expect(parsed("<191>Dec 31 23:59:59 a: b")).toEqual({ prio: 191, text: "a: b" });
  });

  test("may lack each of these", () => {
    expect(parsed("udhcpd: up")).toEqual({ prio: 13, text: "udhcpd: up" });
    expect(parsed("<4>udhcpd: up")).toEqual({ prio: 4, text: "udhcpd: up" });
    expect(parsed("Jan 12 03:04:05 up")).toEqual({ prio: 13, text: "up" });
    expect(parsed("<192>up")).toEqual({ prio: 13, text: "<192>up" });
    expect(parsed("")).toEqual({ prio: 13, text: "" });
  });

  test("loses the end of its string, and no other byte", () => {
    expect(parsed("<14>up\n\0").text).toBe("up");
    expect(parsed("<14>a\nb\xff\\").text).toBe("a\\x0ab\\xff\\x5c");
  });
});

describe("the syslog source", () => {
  test("numbers messages from 0 under the kernel's clock", async () => {
    const source = new SyslogSource({ boot: "b1", nowUs: () => 42 });
    source.push(Buffer.from("<30>one"));
    source.push(Buffer.from("<31>two"));
    const records = await source.read();
    expect(records!.map(({ prio, seq, usec, flag, text }) => [prio, seq, usec, flag, text]))
      .toEqual([[30, 0, 42, "-", "one"], [31, 1, 42, "-", "two"]]);
    source.close();
    expect(await source.read()).toBeUndefined();
  });

  test("drops what nobody takes, and says how many in their place", async () => {
    const source = new SyslogSource({ boot: "b1", nowUs: () => 42 });
    expect(source.safe()).toBe(true);
    const message = Buffer.from(`<30>${"x".repeat(8_000)}`);
    let pushed = 0;
    for (; pushed < 200; pushed++) source.push(message);
    expect(source.safe()).toBe(false);
    const first = (await source.read())!;
    source.push(message);
    const second = (await source.read())!;
    expect(first.length).toBeLessThan(limits.syslogQueueBytes / 8_000);
    expect(parseGap(second[0]!)).toEqual({ count: 200 - first.length, cause: "overrun" });
    expect([second.length, second[1]!.seq]).toEqual([2, first.length]);
  });

  test("says what was dropped even if nothing comes behind it", async () => {
    const source = new SyslogSource({ boot: "b1", nowUs: () => 42 });
    for (let n = 0; n < 200; n++) source.push(Buffer.from(`<30>${"x".repeat(8_000)}`));
    const taken = (await source.read())!.length;
    expect(parseGap((await source.read())![0]!)).toEqual({ count: 200 - taken, cause: "overrun" });
  });
});

describe("the syslog socket", () => {
  test("gives others their turn, and can be closed, while somebody sends as fast as it takes", async () => {
    using folder = new TemporaryFolder();
    let sent = 0;
    let open = true;
    const flood = () =>
      Promise.resolve({
        next: () => Buffer.from(`<30>${sent++}`),
        close: () => void (open = false),
      });
    const { clock, source } = await setUp(folder, flood);
    await clock.advance(3);
    const before = sent;
    source.close();
    expect([sent > before, open]).toEqual([true, false]);
    const records = (await source.read())!;
    expect(records.length).toBe(sent);
    expect(await source.read()).toBeUndefined();
    await clock.advance(50);
    expect(sent).toBe(records.length);
  });

  test.skipIf(!has("logger"))("hears util-linux's logger", async () => {
    using folder = new TemporaryFolder();
    const { path, clock, source } = await setUp(folder);
    const args = ["-u", path, "-t", "udhcpd", "-p", "daemon.warning", "no lease for ä"];
    expect(spawnSync("logger", args).status).toBe(0);
    await clock.advance(50);
    const [record] = (await source.read())!;
    expect(record).toMatchObject({ prio: 28, text: "udhcpd: no lease for \\xc3\\xa4" });
    source.close();
    await clock.advance(50);
    expect(existsSync(path)).toBe(false);
  });

  test.skipIf(!has("python3"))("hears programs of every user, message by message", async () => {
    using folder = new TemporaryFolder();
    const { path, clock, source } = await setUp(folder);
    expect(statSync(path).mode & 0o777).toBe(0o666);
    const script = `
import logging, logging.handlers, sys
h = logging.handlers.SysLogHandler(sys.argv[1], facility="daemon")
log = logging.getLogger("x"); log.addHandler(h)
for n in range(5): log.error("message %d", n)`;
    expect(spawnSync("python3", ["-c", script, path]).status).toBe(0);
    await clock.advance(50);
    expect((await source.read())!.map(({ prio, text }) => `${prio} ${text}`))
      .toEqual([0, 1, 2, 3, 4].map((n) => `27 message ${n}`));
    source.close();
  });

  test("that a killed agent left behind is replaced; one that is in use isn't", async () => {
    using folder = new TemporaryFolder();
    const { path, clock, source } = await setUp(folder);
    const refused = await openDatagrams(path, 100).catch((error) => error);
    expect([refused instanceof DatagramError, refused.code]).toEqual([true, "in_use"]);
    source.close();
    await clock.advance(50);
    const script = `(await import("./agent/unix_datagram.ts")).openDatagrams(${
      JSON.stringify(path)
    },
      100).then(() => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(bunPath, ["-e", script], { cwd: root });
    expect(existsSync(path)).toBe(true);
    (await openDatagrams(path, 100)).close();
  });

  test("isn't made where a file stands, or under a path that is too long", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "file");
    writeFileSync(path, "precious");
    expect((await openDatagrams(path, 100).catch((error) => error)).code).toBe("cannot_bind");
    expect((await openDatagrams(`/${"x".repeat(120)}`, 100).catch((e) => e)).code).toBe(
      "cannot_bind",
    );
  });

  test.skipIf(!has("python3"))("works in the compiled program", () => {
    using folder = new TemporaryFolder();
    const [binary, entry] = [join(folder.path, "program"), join(folder.path, "entry.ts")];
    writeFileSync(
      entry,
      `import { openDatagrams } from "${root}agent/unix_datagram.ts";
       const path = ${JSON.stringify(join(folder.path, "log"))};
       const datagrams = await openDatagrams(path, 100);
       Bun.spawnSync(["python3", "-c", "import socket,sys; " +
         "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'<30>hello', sys.argv[1])", path]);
       console.log(new TextDecoder().decode(datagrams.next()));`,
    );
    spawnSync(bunPath, ["build", "--compile", entry, "--outfile", binary], { cwd: root });
    expect(spawnSync(binary).stdout.toString()).toBe("<30>hello\n");
  });

  test("takes connections where there are no datagram sockets, and says so", async () => {
    using folder = new TemporaryFolder();
    const open = () => Promise.reject(new DatagramError("no_ffi", "none"));
    const { path, source, reports } = await setUp(folder, open);
    const socket = connect(path);
    socket.write("<30>one\0<30>tw");
    expect((await source.read())![0]!.text).toBe("one");
    socket.end(`o\n<31>${"x".repeat(9_000)}`);
    const texts: string[] = [];
    while (texts.join("").length < 9_003) {
      texts.push(...(await source.read())!.map(({ text }) => text));
    }
    expect(texts[0]).toBe("two");
    expect(reports[0]).toMatch(/takes connections only/);
    source.close();
  });
});
