/** A program that takes uploads, as wrk.ts sees it; the receiver is one, nginx.ts has the other. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { readBlocks } from "../../shared/block.ts";
import type { Identity } from "../../shared/identity.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { receiverEnv, root } from "../../tests/programs.ts";
import { allow } from "./devices.ts";

export interface Contender {
  port: number;
  /** All of its processes. */
  pids: number[];
  stop(): Promise<void>;
  /** Bodies that it has stored; called after stop(). */
  stored(): Promise<number>;
}

/** USER_HZ: what the kernel shows to programs. */
const tickMs = 10;

const running = new Set<ChildProcess>();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** A process that is killed with this one. */
export function start(command: string, args: string[]): ChildProcess {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...receiverEnv },
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

export async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
}

export async function startReceiver(folder: string, devices: Identity[]): Promise<Contender> {
  allow(join(folder, "devices"), devices);
  const args = ["receiver/main.ts", "--data", folder, "--port", "0", "--name", "bench"];
  const child = start(process.execPath, args);
  const port = await saidPort(child);
  return {
    port,
    pids: [child.pid!],
    stop: () => stop(child, "SIGTERM"),
    stored: () => countBlocks(folder),
  };
}

async function saidPort(child: ChildProcess): Promise<number> {
  let said = "";
  child.stderr!.setEncoding("utf8");
  return await new Promise((resolve, reject) => {
    child.stderr!.on("data", (text: string) => {
      said = (said + text).slice(-4096);
      const url = /listening on (\S+)/.exec(said)?.[1];
      if (url) resolve(Number(new URL(url).port));
    });
    child.once("exit", () => reject(new Error(`the receiver ended:\n${said}`)));
  });
}

/** A body is one block: a text of 30 KiB isn't split, and a frame never is. */
async function countBlocks(folder: string): Promise<number> {
  let blocks = 0;
  for await (const { text, damage } of readNew(new FolderStorage(folder), new Map())) {
    if (damage !== undefined) throw new Error(`a segment is damaged: ${damage}`);
    for (const _ of readBlocks(text ?? "")) blocks++;
  }
  return blocks;
}

/** Resident memory of the processes now, in MiB. */
export function rssMiB(pids: number[]): number {
  return pids.reduce((sum, pid) => {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return sum + Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
  }, 0);
}

/** User and system time that the processes have taken, in ms. */
export function cpuMs(pids: number[]): number {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return sum + (Number(fields[11]) + Number(fields[12])) * tickMs;
  }, 0);
}
