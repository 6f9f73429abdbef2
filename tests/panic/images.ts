/**
 * What the guest is made of, out of Debian's packages and this tree:
 *
 * | file | what is in it | how long it lives |
 * |------|---------------|-------------------|
 * | kernel | Debian's, as it is | |
 * | initrd.cpio | busybox, modules, the scripts in guest/ | made for each run |
 * | system.ext4 | the compiled agent and the libraries that it needs; read only | made for each run |
 * | state.ext4 | the device's key; then whatever the guest writes | made for each variant |
 */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { bunPath, root } from "../programs.ts";
import { newc } from "./newc.ts";

export interface Images {
  kernel: string;
  initrd: string;
  system: string;
}

/** In the order in which they must be loaded; Debian has all of these as modules. */
const modules = [
  ...["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"],
  ...["failover", "net_failover", "virtio_net", "virtio_blk", "reed_solomon", "ramoops"],
  ...["libnvdimm", "nd_btt", "nd_pmem", "nd_e820"],
];
/** The agent has 112 MB. */
const systemBytes = 160 << 20;
const stateBytes = 16 << 20;

export function buildImages(debian: string, folder: string): Images {
  mkdirSync(folder, { recursive: true });
  const kernel = readdirSync(join(debian, "boot")).find((name) => name.startsWith("vmlinuz-"))!;
  const initrd = join(folder, "initrd.cpio");
  writeFileSync(initrd, newc(initrdFiles(debian), ["dev", "proc", "sys"]));
  return { kernel: join(debian, "boot", kernel), initrd, system: buildSystem(folder) };
}

/** The first disk that the device ever had: nothing is on it but its key. */
export function buildState(agentState: string, folder: string): string {
  const content = join(folder, "state");
  cpSync(agentState, join(content, "agent"), { recursive: true });
  return makeDisk(join(folder, "state.ext4"), content, stateBytes);
}

function initrdFiles(debian: string): Map<string, Uint8Array> {
  const guest = join(root, "tests/panic/guest");
  const files = new Map<string, Uint8Array>([
    ["init", readFileSync(join(guest, "init"))],
    ["bin/app", readFileSync(join(guest, "app"))],
    ["bin/pmem-spool", readFileSync(join(root, "deploy/device/pmem-spool.sh"))],
    ["bin/busybox", readFileSync(join(debian, "bin/busybox"))],
    ["modules/order", new TextEncoder().encode(`${modules.join("\n")}\n`)],
  ]);
  const all = readdirSync(join(debian, "lib/modules"), { recursive: true }) as string[];
  for (const name of modules) {
    const path = all.find((path) => path.endsWith(`/${name}.ko`));
    if (path === undefined) throw new Error(`Cannot build because there must be a module ${name}`);
    files.set(`modules/${name}.ko`, readFileSync(join(debian, "lib/modules", path)));
  }
  return files;
}

function buildSystem(folder: string): string {
  const content = join(folder, "system");
  execFileSync(bunPath, ["agent/build.ts", "--out", content], { cwd: root, stdio: "pipe" });
  const [built] = readdirSync(content).filter((name) => name.startsWith("logmill-agent-"));
  const agent = join(content, "logmill-agent");
  renameSync(join(content, built!), agent);
  copyLibraries(agent, content);
  // What makes and repairs the file system on /dev/pmem0: busybox has none of it.
  for (const [name, called] of [["mke2fs", "mkfs.ext4"], ["e2fsck"], ["blkid"]] as const) {
    const tool = ["/usr/sbin", "/sbin"].map((folder) => join(folder, name)).find(existsSync)!;
    cpSync(tool, join(content, "sbin", called ?? name), { dereference: true });
    copyLibraries(tool, content);
  }
  return makeDisk(join(folder, "system.ext4"), content, systemBytes);
}

function copyLibraries(program: string, content: string): void {
  for (const [path] of execFileSync("ldd", [program], { encoding: "utf8" }).matchAll(/\/lib\S+/g)) {
    const to = join(content, path.startsWith("/lib64/") ? "lib64" : "lib", path.split("/").at(-1)!);
    mkdirSync(dirname(to), { recursive: true });
    cpSync(path, to, { dereference: true });
  }
}

/** An ext4 of the content of a folder, which goes. */
function makeDisk(disk: string, content: string, bytes: number): string {
  rmSync(disk, { force: true });
  const args = ["-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", content];
  execFileSync("mke2fs", [...args, disk, `${bytes >> 10}k`], {
    stdio: "pipe",
    env: { PATH: "/usr/sbin:/sbin:/usr/bin:/bin" },
  });
  rmSync(content, { recursive: true });
  return disk;
}
