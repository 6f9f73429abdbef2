/** What the agent itself needs: a state that lasts, flash that isn't worn out, a clock that is right. */
import { type Check, type DoctorOptions, type Finding, hint, lost, ok } from "./finding.ts";
import type { Machine } from "./machine.ts";

export const checkAgent: Check = (machine, options) => [
  state(machine, options),
  clock(machine),
];

function state(machine: Machine, { state, run }: DoctorOptions): Finding {
  const mount = machine.mountOf(state);
  if (!mount) return hint("state", `What ${state} is on is unknown: it must outlive a reboot.`);
  const { type, device } = mount;
  if (/^(?:tmpfs|ramfs)$/.test(type)) {
    const text =
      `${state} is gone at a reboot (${type}): the device's key, and where the agent was. ` +
      "Last words can't be attributed to their boot.";
    const line = `--state ${lastingFolder(machine)}`;
    return lost("state", text, { where: "the agent's options", line });
  }
  const sparing = run !== undefined || machine.exists("/run/logmill");
  if (!isFlash(device, type) || sparing) {
    return ok(
      "state",
      `${state} outlives a reboot (${type}${sparing ? "; flash is spared" : ""}).`,
    );
  }
  const text =
    `${state} is on flash (${device}), written once a second. A folder on tmpfs spares it.`;
  return hint("state", text, { where: "the agent's options", line: "--run /run/logmill" });
}

function isFlash(device: string, type: string): boolean {
  return /^\/dev\/(?:mmcblk|mtdblock|ubi)/.test(device) || /^(?:jffs2|ubifs|f2fs)$/.test(type);
}

/** OpenWrt's /etc is kept; its /var is memory. */
function lastingFolder(machine: Machine): string {
  return machine.exists("/etc/openwrt_release") ? "/etc/logmill" : "/var/lib/logmill";
}

/** As the agent looks for it (run.ts). */
function clock(machine: Machine): Finding {
  const files = ["/run/systemd/timesync/synchronized", "/run/chrony/synchronized"];
  if (machine.first(...files)) {
    return ok("clock", "The clock is synchronised, and the agent sees it.");
  }
  const text =
    "Whether the clock is synchronised can't be seen here: times are estimated from when " +
    "records arrive.";
  const line = "systemctl enable --now systemd-timesyncd";
  return machine.exists("/run/systemd/system")
    ? hint("clock", text, { where: "a shell", line })
    : hint("clock", text);
}
