/**
 * The programs that are measured, each shipping /dev/kmsg to a counted link. They run at the same time, so
 * that all of them read the same records in the same period.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, fsyncSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { readBlocks } from "../../shared/block.ts";
import { forEachRecord } from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { bunPath, root, startReceiver } from "../../tests/programs.ts";
import { countingDatagramSink, countingProxy, countingSink, type Link } from "./links.ts";

export interface Shipper {
  name: string;
  version: string;
  pids: number[];
  link: Link;
  /** Records that arrived, of those with seqs above `from` and up to `to`; lines where there are no seqs. */
  arrived: (from: Mark, to: Mark) => Promise<number>;
  stop: () => Promise<void>;
}

/** A moment, by the ring's newest seq and by the lines that had arrived. */
export interface Mark {
  seq: number;
  lines: number;
}

const byLines = (from: Mark, to: Mark) => Promise.resolve(to.lines - from.lines);

/** The compiled agent, with a receiver of its own behind the link. */
export async function startAgent(folder: string): Promise<Shipper> {
  const data = join(folder, "data");
  const state = join(folder, "state");
  const built = run(bunPath, "agent/build.ts", "--out", folder);
  const agent = /^(.+): \d+ MB$/m.exec(built)![1]!;
  // Or its pages count as dirty until the kernel has written them.
  syncFile(agent);
  const thumbprint = run(agent, "identity", "--state", state).trim();
  run(bunPath, "receiver/main.ts", "allow", thumbprint, "--device", "bench", "--data", data);
  const receiver = await startReceiver(data, "--port", "0");
  const link = await countingProxy(Number(new URL(receiver.url).port));
  const url = `http://127.0.0.1:${link.port}`;
  const child = start(agent, "--state", state, "--receiver", url);
  return {
    name: "logmill-agent",
    version: `0.1.0, Bun ${process.versions.bun}`,
    pids: [child.pid!],
    link,
    arrived: (from, to) => seqsStored(data, from.seq, to.seq),
    stop: async () => {
      await stop(child);
      await receiver.program.stop();
      link.close();
    },
  };
}

/** Undefined where there is no rsyslog with imkmsg. */
export async function startRsyslog(
  folder: string,
  format: "plain" | "zlib",
): Promise<Shipper | undefined> {
  const program = "/usr/sbin/rsyslogd";
  if (!existsSync(program)) return undefined;
  const link = await countingSink(format);
  const config = join(folder, `rsyslog-${format}.conf`);
  // Its smallest useful form: one input, one output; it waits for a server that is away.
  writeFileSync(
    config,
    `global(workDirectory="${folder}" localHostname="bench")
module(load="imkmsg")
action(type="omfwd" target="127.0.0.1" port="${link.port}" protocol="tcp"
  template="RSYSLOG_ForwardFormat" action.resumeRetryCount="-1"
  ${format === "zlib" ? 'ziplevel="9" compression.mode="stream:always"' : ""})
`,
  );
  const child = start(program, "-n", "-f", config, "-i", join(folder, `rsyslog-${format}.pid`));
  return {
    name: format === "zlib" ? "rsyslog, zlib stream" : "rsyslog, plain TCP",
    version: /rsyslogd\s+(\S+)/.exec(run(program, "-v"))![1]!,
    pids: [child.pid!],
    link,
    arrived: byLines,
    stop: async () => {
      await stop(child);
      link.close();
    },
  };
}

/**
 * busybox's klogd and syslogd, in a /dev of their own: between the two is the socket /dev/log. Undefined
 * where they aren't installed.
 */
export async function startBusybox(): Promise<Shipper | undefined> {
  const program = "/bin/busybox";
  if (!existsSync(program) || !run(program, "--list").includes("klogd")) return undefined;
  const link = await countingDatagramSink();
  const ownDev = "mount -t tmpfs none /dev && mknod /dev/null c 1 3";
  const syslogd = `${program} syslogd -n -R 127.0.0.1:${link.port} </dev/null >/dev/null 2>&1 &`;
  const script = `${ownDev}\n${syslogd}\necho $!\nsleep 0.5\nexec ${program} klogd -n`;
  const child = start("unshare", "--mount", "sh", "-c", script);
  const [words] = await once(child.stdout!, "data");
  const syslogdPid = Number(String(words));
  const kill = () => process.kill(syslogdPid, "SIGKILL");
  process.once("exit", kill);
  return {
    name: "busybox klogd + syslogd, UDP",
    version: /v(\S+)/.exec(run(program))![1]!,
    pids: [child.pid!, syslogdPid],
    link,
    arrived: byLines,
    stop: async () => {
      await stop(child);
      kill();
      process.off("exit", kill);
      link.close();
    },
  };
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: root, encoding: "utf8" });
}

/** It doesn't outlive this process. */
function start(command: string, ...args: string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  // klogd sleeps in the kernel until the next record comes.
  const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exited;
  clearTimeout(late);
}

function syncFile(path: string): void {
  const fd = openSync(path, "r");
  fsyncSync(fd);
  closeSync(fd);
}

async function seqsStored(data: string, from: number, to: number): Promise<number> {
  const seqs = new Set<number>();
  for await (const { text } of readNew(new FolderStorage(data), new Map())) {
    for (const block of readBlocks(text ?? "")) {
      forEachRecord(block.text, ({ seq, flag }) => {
        if (flag !== "g" && flag !== "s" && seq > from && seq <= to) seqs.add(seq);
      }, () => {});
    }
  }
  return seqs.size;
}
