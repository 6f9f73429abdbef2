/**
 * Debian's stock cloud kernel and its static busybox, unpacked in dist/panic/debian and kept there.
 * Nothing of them is installed: a kernel's package would put it into this machine's boot loader.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "../programs.ts";

export const cache = join(root, "dist/panic");

/** Programs that the machine must have, and the packages that bring them. */
const tools: Array<[program: string, debianPackage: string]> = [
  ["qemu-system-x86_64", "qemu-system-x86"],
  ["mke2fs", "e2fsprogs"],
  ["dpkg-deb", "dpkg"],
  ["apt-get", "apt"],
];

/** Packages whose programs aren't on this machine. */
export function missingPackages(): string[] {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"];
  return tools
    .filter(([program]) => !folders.some((folder) => existsSync(join(folder, program))))
    .map(([, debianPackage]) => debianPackage);
}

/** Installs what is missing, where this is root on a Debian; else throws. */
export function installMissing(): void {
  const missing = missingPackages();
  if (missing.length === 0) return;
  if (process.getuid!() !== 0 || missing.includes("apt")) {
    throw new Error(
      `Cannot run a guest because these must be installed: ${missing.join(", ")} is missing`,
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = (...args: string[]) => execFileSync("apt-get", args, { env, stdio: "pipe" });
  run("update", "-qq");
  run("install", "-y", "-qq", "--no-install-recommends", ...missing);
}

/** The folder of what is unpacked: /boot, /lib/modules and /bin/busybox of the guest. */
export function unpackedDebian(): string {
  const folder = join(cache, "debian");
  if (existsSync(folder)) return folder;
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  try {
    download(partial);
  } catch (error) {
    // What this machine knows of Debian may be of another year.
    if (process.getuid!() !== 0) throw error;
    runIn(partial, "apt-get", "update", "-qq");
    download(partial);
  }
  for (const file of readdirSync(partial).filter((name) => name.endsWith(".deb"))) {
    runIn(partial, "dpkg-deb", "-x", file, ".");
    rmSync(join(partial, file));
  }
  renameSync(partial, folder);
  return folder;
}

function download(folder: string): void {
  // The package of that name is empty: it needs the one of the present version.
  const depends = runIn(folder, "apt-cache", "depends", "linux-image-cloud-amd64");
  const [, kernel] = /Depends: (linux-image-\S+)/.exec(depends) ?? [];
  if (kernel === undefined) throw new Error("Cannot find Debian's kernel: apt must know of it");
  runIn(folder, "apt-get", "download", "-qq", kernel, "busybox-static");
}

function runIn(cwd: string, program: string, ...args: string[]): string {
  return execFileSync(program, args, { cwd, encoding: "utf8", stdio: "pipe" });
}
