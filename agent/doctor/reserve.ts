/** Memory that is set aside for a dump or for pmem: how this machine is told to. */
import { type Change, commandLine, kernelConfig, module } from "./finding.ts";
import type { Machine } from "./machine.ts";

const MiB = 1024 ** 2;
/** Firmware likes the very top; a kernel begins far below. Picked from the air. */
const belowTopBytes = 32 * MiB;
const fourGiB = 4096 * MiB;

/** What to put where the lines below say ADDRESS. */
export const addressHelp = "ADDRESS is within `System RAM` of /proc/iomem, which root can read.";

/** What sets up ramoops with one record of this size. */
export function ramoopsLines(machine: Machine, recordBytes: number): Change[] {
  const memBytes = 2 * recordBytes;
  if (hasDeviceTree(machine)) return [ramoopsNode(machine, recordBytes), ...useRamoops(machine)];
  const address = hex(freeAddress(machine));
  const sizes = `ramoops.record_size=${hex(recordBytes)} ramoops.console_size=0 ` +
    "ramoops.pmsg_size=0 ramoops.ftrace_size=0";
  return [
    commandLine(
      machine,
      `memmap=${memBytes / MiB}M$${address} ramoops.mem_address=${address} ` +
        `ramoops.mem_size=${hex(memBytes)} ${sizes}`,
    ),
    ...useRamoops(machine),
  ];
}

/** What makes /dev/pmem0. */
export function pmemLines(machine: Machine): Change[] {
  if (hasDeviceTree(machine)) return [node("pmem")];
  if (machine.config("X86_PMEM_LEGACY") === "n") return [kernelConfig("CONFIG_X86_PMEM_LEGACY=m")];
  // Below what ramoops may take.
  const address = freeAddress(machine);
  return [commandLine(machine, `memmap=16M!${hex(address && address - 32 * MiB)}`)];
}

/** Firmware has a pstore of its own, which would be first. */
function useRamoops(machine: Machine): Change[] {
  const hasFirmwares = machine.exists("/sys/firmware/efi");
  return [
    ...hasFirmwares ? [commandLine(machine, "pstore.backend=ramoops")] : [],
    ...machine.config("PSTORE_RAM") === "y" ? [] : [module(machine, "ramoops")],
  ];
}

function hasDeviceTree(machine: Machine): boolean {
  return machine.exists("/proc/device-tree") || machine.exists("/sys/firmware/devicetree/base");
}

/** A Raspberry Pi's firmware has an overlay for it. */
function ramoopsNode(machine: Machine, recordBytes: number): Change {
  const config = machine.first("/boot/firmware/config.txt", "/boot/config.txt");
  if (!config) return node("ramoops");
  const sizes = `total-size=${hex(2 * recordBytes)},record-size=${hex(recordBytes)}`;
  return { where: config, line: `dtoverlay=ramoops,${sizes}` };
}

function node(name: string): Change {
  const where = "the board's device tree, with the board's own address in it";
  return { where, line: `#include "logmill-${name}.dtsi"` };
}

/** In the highest ordinary memory below 4 GiB; undefined where /proc/iomem doesn't tell (it needs root). */
export function freeAddress(machine: Machine): number | undefined {
  const ends = [
    ...(machine.text("/proc/iomem") ?? "").matchAll(/^([\da-f]+)-([\da-f]+) : System RAM$/gm),
  ]
    .map(([, first, last]) => ({ first: parseInt(first!, 16), end: parseInt(last!, 16) + 1 }))
    .filter(({ first, end }) => end <= fourGiB && end - first >= 4 * belowTopBytes)
    .map(({ end }) => end);
  if (ends.length === 0) return undefined;
  return Math.floor((Math.max(...ends) - belowTopBytes) / (16 * MiB)) * 16 * MiB;
}

function hex(value: number | undefined): string {
  return value === undefined ? "ADDRESS" : `0x${value.toString(16)}`;
}
