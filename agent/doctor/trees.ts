/** Machines as the doctor sees them, for tests: the files that it looks at, as such machines have them. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

/** Text by path; a path that ends in `/` is a folder, `-> ` begins what a symbolic link leads to. */
export type Tree = Record<string, string>;

export function plant(folder: string, tree: Tree): string {
  for (const [path, text] of Object.entries(tree)) {
    const full = join(folder, path);
    mkdirSync(path.endsWith("/") ? full : dirname(full), { recursive: true });
    if (path.endsWith("/")) continue;
    if (text.startsWith("-> ")) symlinkSync(text.slice(3), full);
    else writeFileSync(full, path.endsWith(".gz") ? gzipSync(text) : text);
  }
  return folder;
}

/** So many lines of 72 bytes, one every so many seconds, from a seq and a time on. */
export function kmsgOf(lines: number, everySeconds: number, seq = 0, seconds = 0): string {
  return Array.from(
    { length: lines },
    (_, n) =>
      `14,${seq + n},${Math.round((seconds + n * everySeconds) * 1e6)},-;${"x".repeat(72)}\n`,
  ).join("");
}

const usual = {
  "proc/sys/kernel/printk_devkmsg": "ratelimit\n",
  "proc/sys/kernel/panic": "0\n",
  "proc/sys/kernel/panic_on_oops": "0\n",
  "sys/fs/pstore/": "",
};

/** Debian on a board with a device tree and an SD card; ramoops is a module that nobody loads. */
export const raspberryPi: Tree = {
  ...usual,
  "proc/cmdline": "console=serial0,115200 root=PARTUUID=5a3e-02 rootfstype=ext4 rootwait\n",
  "proc/sys/kernel/osrelease": "6.12.47-v8\n",
  "boot/config-6.12.47-v8": "CONFIG_LOG_BUF_SHIFT=17\nCONFIG_PSTORE=y\nCONFIG_PSTORE_RAM=m\n",
  "boot/firmware/cmdline.txt": "",
  "boot/firmware/config.txt": "",
  "etc/fstab": "",
  "proc/device-tree/model": "a board",
  "proc/mounts": [
    "/dev/mmcblk0p2 / ext4 rw 0 0",
    "tmpfs /run tmpfs rw 0 0",
    "pstore /sys/fs/pstore pstore rw 0 0",
  ].join("\n"),
  "proc/uptime": "86400.1 340000\n",
  "dev/kmsg": kmsgOf(400, 0.01) + kmsgOf(700, 120, 400, 300),
  "dev/watchdog": "",
  "sys/class/watchdog/watchdog0/state": "inactive\n",
  "sys/module/pstore/parameters/backend": "(null)\n",
  "run/systemd/system/": "",
  "run/systemd/timesync/synchronized": "",
  "usr/lib/systemd/system/systemd-pstore.service": "",
};

/** A router: /var is memory, ramoops is in its device tree, no systemd; its ring went round long ago. */
export const openWrt: Tree = {
  ...usual,
  "etc/openwrt_release": "DISTRIB_ID='OpenWrt'\n",
  "proc/cmdline": "console=ttyMSM0,115200n8\n",
  "proc/device-tree/model": "a router",
  "proc/sys/kernel/panic": "3\n",
  "proc/mounts": [
    "/dev/root /rom squashfs ro 0 0",
    "tmpfs /tmp tmpfs rw 0 0",
    "overlayfs:/overlay / overlay rw 0 0",
    "pstore /sys/fs/pstore pstore rw 0 0",
  ].join("\n"),
  "proc/config.gz": [
    "CONFIG_LOG_BUF_SHIFT=16",
    "CONFIG_PSTORE_RAM=y",
    "CONFIG_PSTORE_CONSOLE=y",
    "# CONFIG_PSTORE_PMSG is not set",
  ].join("\n"),
  "proc/uptime": "90000.5 1000\n",
  "dev/kmsg": kmsgOf(750, 1, 89_000, 89_000),
  "sys/module/pstore/parameters/backend": "ramoops\n",
  "sys/module/ramoops/parameters/mem_size": "1048576\n",
  "sys/module/ramoops/parameters/record_size": "131072\n",
  "sys/module/ramoops/parameters/console_size": "131072\n",
  "sys/module/ramoops/parameters/pmsg_size": "0\n",
  "sys/module/ramoops/parameters/max_reason": "2\n",
  "sys/class/watchdog/watchdog0/state": "active\n",
  "tmp/": "",
  "var": "-> tmp",
};

/** Debian in a cloud: UEFI's pstore, a crash kernel, chrony; systemd-pstore uses the journal. */
export const cloud: Tree = {
  ...usual,
  "proc/cmdline": "BOOT_IMAGE=/vmlinuz root=UUID=1 ro crashkernel=192M panic=-1\n",
  "proc/sys/kernel/panic": "-1\n",
  "proc/sys/kernel/osrelease": "6.12.48+deb13-cloud-amd64\n",
  "boot/config-6.12.48+deb13-cloud-amd64": [
    "CONFIG_LOG_BUF_SHIFT=17",
    "CONFIG_LOG_CPU_MAX_BUF_SHIFT=12",
    "CONFIG_PSTORE_RAM=m",
    "# CONFIG_PSTORE_CONSOLE is not set",
    "# CONFIG_PSTORE_PMSG is not set",
    "CONFIG_X86_PMEM_LEGACY=m",
  ].join("\n"),
  "sys/devices/system/cpu/possible": "0-63\n",
  "etc/default/grub": "",
  "proc/iomem": [
    "00001000-0009fbff : System RAM",
    "00100000-bffddfff : System RAM",
    "  01000000-01ffffff : Kernel code",
    "100000000-43fffffff : System RAM",
  ].join("\n"),
  "proc/mounts": [
    "/dev/vda1 / ext4 rw 0 0",
    "pstore /sys/fs/pstore pstore rw 0 0",
  ].join("\n"),
  "proc/uptime": "300.5 1000\n",
  "dev/kmsg": kmsgOf(900, 0.02),
  "sys/firmware/efi/": "",
  "sys/kernel/kexec_crash_loaded": "1\n",
  "sys/module/kernel/parameters/crash_kexec_post_notifiers": "N\n",
  "sys/module/pstore/parameters/backend": "efi_pstore\n",
  "sys/module/pstore/parameters/kmsg_bytes": "10240\n",
  "run/chrony/synchronized": "",
  "run/systemd/system/": "",
  "etc/systemd/pstore.conf": "[PStore]\nStorage=external\n",
  "etc/systemd/pstore.conf.d/site.conf": "[PStore]\nStorage=journal\n",
  "usr/lib/systemd/system/systemd-pstore.service": "",
};

/** One on which all of docs/device.md was done. */
export const wellKept: Tree = {
  "proc/cmdline": "log_buf_len=10M printk.devkmsg=on panic=1 memmap=16M!0x20000000\n",
  "proc/sys/kernel/printk_devkmsg": "on\n",
  "proc/sys/kernel/panic": "1\n",
  "proc/sys/kernel/panic_on_oops": "1\n",
  "proc/sys/kernel/softlockup_panic": "1\n",
  "proc/mounts": [
    "/dev/sda2 / ext4 rw 0 0",
    "tmpfs /run tmpfs rw 0 0",
    "/dev/pmem0 /run/logmill-pmem ext4 rw 0 0",
    "pstore /sys/fs/pstore pstore rw 0 0",
  ].join("\n"),
  "proc/config.gz":
    "CONFIG_LOG_BUF_SHIFT=17\nCONFIG_PSTORE_RAM=m\nCONFIG_PSTORE_CONSOLE=y\nCONFIG_PSTORE_PMSG=y\n",
  "proc/uptime": "10120 1000\n",
  "dev/kmsg": kmsgOf(300, 0.01) + kmsgOf(1000, 10, 300, 121),
  "run/systemd/timesync/synchronized": "",
  "run/logmill/": "",
  "sys/class/watchdog/watchdog0/pretimeout_governor": "panic\n",
  "sys/fs/pstore/": "",
  "sys/module/pstore/parameters/backend": "ramoops\n",
  "sys/module/ramoops/parameters/record_size": "16777216\n",
  "sys/module/ramoops/parameters/console_size": "262144\n",
  "sys/module/ramoops/parameters/pmsg_size": "262144\n",
  "sys/module/ramoops/parameters/max_reason": "4\n",
};
