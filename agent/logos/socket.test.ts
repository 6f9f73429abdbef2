import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { settle, TemporaryFolder } from "../../tests/fixtures.ts";
import { bunPath } from "../../tests/programs.ts";
import { LogosSocketError, type LogosSocketOptions, serveLogosSocket } from "./socket.ts";

async function setUp(folder: TemporaryFolder, options: Partial<LogosSocketOptions> = {}) {
  const path = join(folder.path, "logos.sock");
  const written: string[] = [];
  const reports: string[] = [];
  const waiting = new Set<() => void>();
  const server = await serveLogosSocket(path, {
    write: (record) => {
      written.push(Buffer.from(record).toString());
      for (const wake of waiting) wake();
    },
    nowMs: () => 0,
    report: (text) => {
      reports.push(text);
      for (const wake of waiting) wake();
    },
    ...options,
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise<void>((resolve) => waiting.add(resolve));
  };
  return { path, server, written, reports, until };
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket)).on("error", reject);
  });
}

/** All that a connection is told until it is closed. */
function answerOf(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (bytes) => text += bytes);
  return new Promise((resolve) => socket.on("close", () => resolve(text)));
}

describe("a socket for many programs", () => {
  test("keeps the lines of three programs apart, each whole and in its order", async () => {
    using folder = new TemporaryFolder();
    const { path, server, written, until } = await setUp(folder);
    const names = ["one", "two", "th_ree"];
    const sockets = await Promise.all(names.map(() => open(path)));
    // A few bytes from each in turn, so that lines are cut anywhere.
    const texts = names.map((name) =>
      Buffer.from(
        `${name}\n` + Array.from({ length: 50 }, (_, n) => `line ${n} of ${name}\n`).join(""),
      )
    );
    for (let at = 0; at < Math.max(...texts.map(({ length }) => length)); at += 7) {
      await Promise.all(
        sockets.map((socket, n) =>
          new Promise<void>((sent) => socket.write(texts[n]!.subarray(at, at + 7), () => sent()))
        ),
      );
      await settle();
    }
    await until(() => written.length === 150);
    for (const [n, name] of ["one", "two", "three"].entries()) {
      expect(written.filter((record) => record.startsWith(`<7>${name}: `))).toEqual(
        Array.from({ length: 50 }, (_, line) => `<7>${name}: line ${line} of ${names[n]}\n`),
      );
    }
    expect(written.slice(0, 50).some((record) => record.includes("two"))).toBe(true);
    for (const socket of sockets) socket.destroy();
    await server.close();
  });

  test("gives each connection buckets of its own, as large as its first line says", async () => {
    using folder = new TemporaryFolder();
    const { path, server, written, until } = await setUp(folder);
    const small = await open(path);
    const large = await open(path);
    const line = `${"x".repeat(91)}\n`;
    small.end(`small 2000 86400\n${line.repeat(20)}`);
    large.end(`large\n${line.repeat(20)}`);
    const count = (name: string) =>
      written.filter((record) => record.startsWith(`<7>${name}: `)).length;
    await until(() => count("large") === 20 && written.some((r) => r.includes("were dropped")));
    expect(count("small")).toBe(Math.floor(500 / (10 + 91 + 1)));
    expect(written.filter((record) => record.startsWith("<4>"))).toEqual([
      "<4>small: W: burst limit: dropping messages to prevent overflow (3 bytes/sec).\n",
      "<4>small: W: burst limit: 16 messages were dropped.\n",
    ]);
    await server.close();
  });

  test("writes a last line without its newline when the program ends", async () => {
    using folder = new TemporaryFolder();
    const { path, server, written, until } = await setUp(folder);
    (await open(path)).end("app\none\nE: last words");
    await until(() => written.length === 2);
    expect(written).toEqual(["<7>app: one\n", "<3>app: E: last words\n"]);
    await server.close();
  });

  test("may be used by everybody, and is removed at the end", async () => {
    using folder = new TemporaryFolder();
    const { path, server } = await setUp(folder);
    expect(statSync(path).mode & 0o777).toBe(0o666);
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  test("that is closed writes what was sent before, also half a line", async () => {
    using folder = new TemporaryFolder();
    const { path, server, written } = await setUp(folder);
    const socket = await open(path);
    await new Promise<void>((sent) => socket.write("app\none\nhalf", () => sent()));
    const closed = answerOf(socket);
    await server.close();
    expect(await closed).toBe("");
    expect(written).toEqual(["<7>app: one\n", "<7>app: half\n"]);
  });
});

describe("a first line that won't do", () => {
  test("is answered with what is wrong, and the connection closed", async () => {
    using folder = new TemporaryFolder();
    const { path, server, written } = await setUp(folder);
    for (const first of ["___", "", "app 5", "a/b", "app 0 0 0", "x".repeat(129)]) {
      const socket = await open(path);
      socket.write(`${first}\nline\n`);
      expect(await answerOf(socket)).toMatch(/^Cannot log because .*\n$/);
    }
    expect(written).toEqual([]);
    await server.close();
  });

  test("is not waited for without end, neither its bytes nor its time", async () => {
    using folder = new TemporaryFolder();
    const { path, server } = await setUp(folder, { firstLineMs: 20 });
    const endless = await open(path);
    endless.write("x".repeat(300));
    expect(await answerOf(endless)).toBe("Cannot log because NAME must come in 256 bytes\n");
    const silent = await open(path);
    expect(await answerOf(silent)).toInclude("it is missing");
    await server.close();
  });
});

describe("too many programs", () => {
  test("are refused, which is told once; those that are connected go on", async () => {
    using folder = new TemporaryFolder();
    const { path, server, written, reports, until } = await setUp(folder, { connectionsMax: 2 });
    const [first, second] = [await open(path), await open(path)];
    for (let n = 0; n < 3; n++) {
      expect(await answerOf(await open(path))).toBe(
        "Cannot log because at most 2 programs may be connected\n",
      );
    }
    second.write("app\nstill here\n");
    await until(() => written.length === 1);
    first.destroy();
    await until(() => reports.length === 2);
    expect(reports).toEqual([
      "refusing programs because 2 are connected, the most there may be",
      "taking programs again; 3 were refused",
    ]);
    (await open(path)).end("again\nback\n");
    await until(() => written.length === 2);
    expect(written[1]).toBe("<7>again: back\n");
    second.destroy();
    await server.close();
  });
});

describe("a path", () => {
  const refusal = (serving: Promise<unknown>) =>
    serving.then(() => expect.unreachable(), (error: Error) => {
      expect(error).toBeInstanceOf(LogosSocketError);
      return error.message;
    });

  test("with a socket that a killed process left behind is taken over", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "logos.sock");
    // Bound and never closed: as after SIGKILL.
    const script =
      `require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(bunPath, ["-e", script, path]);
    expect(existsSync(path)).toBe(true);
    const { server, written, until } = await setUp(folder);
    (await open(path)).end("app\none\n");
    await until(() => written.length === 1);
    await server.close();
  });

  test("on which another process listens is left to it", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "logos.sock");
    const other = createServer((socket) => socket.end());
    await new Promise<void>((listening) => other.listen(path, () => listening()));
    expect(await refusal(setUp(folder))).toInclude("another process listens on it");
    expect(existsSync(path)).toBe(true);
    await new Promise((closed) => other.close(closed));
  });

  test("with something else at it is left alone", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(join(folder.path, "logos.sock"), "precious");
    expect(await refusal(setUp(folder))).toInclude("something else is there");
  });

  test("in a folder that isn't there is refused with its reason", async () => {
    const options = { write: () => {}, nowMs: () => 0, report: () => {} };
    expect(await refusal(serveLogosSocket("/proc/nowhere/logos.sock", options)))
      .toStartWith("Cannot listen on /proc/nowhere/logos.sock because");
  });
});
