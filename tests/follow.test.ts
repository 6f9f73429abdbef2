/** `deno task tail` as a program, beside a storage to which records come. */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { expect, test } from "bun:test";
import { block, lines } from "../grinder/fixtures.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { compressFrame } from "../shared/zstd.ts";
import { TemporaryFolder } from "./fixtures.ts";
import { denoPath, grinderPermissions, root } from "./programs.ts";

test("the tail shows each record once it is committed, and ends in order when it is interrupted", async () => {
  using folder = new TemporaryFolder();
  const epoch = await new FolderStorage(folder.path).createEpoch("r1");
  const args = ["run", ...grinderPermissions, "grinder/follow/main.ts", "--data", folder.path];
  const child = spawn(denoPath, args, { cwd: root });
  try {
    let [said, shown] = ["", ""];
    const { promise: ready, resolve: isReady } = Promise.withResolvers<void>();
    child.stderr.on("data", (text) => (said += text, said.includes("from now on") && isReady()));
    let isShown = () => {};
    child.stdout.on("data", (text) => (shown += text, isShown()));
    await ready;
    for (let i = 0; i < 10; i++) {
      const { promise, resolve } = Promise.withResolvers<void>();
      isShown = resolve;
      const text = block(lines(i, i), { recvUs: Date.now() * 1000 });
      await epoch.commit([compressFrame(Buffer.from(text, "latin1"))]);
      await promise;
    }
    expect(shown.match(/ d1 kmsg info: link up on eth0\n/g)?.length).toBe(10);
    child.kill("SIGINT");
    expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await epoch.close();
  }
});
