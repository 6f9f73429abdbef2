/**
 * systemd's configuration in, whether journald copies what it gets to the kernel's log out: a program
 * whose lines go to the journal and through logos is in that log twice then.
 *
 * Read as systemd does (systemd.syntax and journald.conf, 5): the first journald.conf there is, then all
 * journald.conf.d/*.conf by name, whatever their folder; of files with the same name the first folder's
 * counts, which may be empty to mask the others. The last word wins, and the kernel's command line has
 * the very last.
 */
import { fstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The first has priority. */
const folders = ["etc", "run", "usr/local/lib", "usr/lib", "lib"];
const bootOption = "systemd.journald.forward_to_kmsg";

/** Where it says `ForwardToKMsg=yes`: a path below the root. Undefined if journald doesn't forward. */
export function journaldForwards(root = "/"): string | undefined {
  const main = folders.map((folder) => `${folder}/systemd/journald.conf`);
  const first = main.find((path) => read(root, path) !== undefined);
  let said: string | undefined;
  for (const path of [...(first ? [first] : []), ...dropIns(root)]) {
    const value = forwardToKmsg(read(root, path) ?? "");
    if (value !== undefined) said = value ? `/${path}` : undefined;
  }
  const booted = bootedWith(read(root, "proc/cmdline") ?? "");
  return booted === undefined ? said : booted ? "/proc/cmdline" : undefined;
}

/**
 * That lines may be logged twice, and what to do; undefined where all is well. `streams` are this
 * process's outputs as `DEVICE:INODE`.
 */
export function journaldProblem(root = "/", streams = outputs()): string | undefined {
  // The variable is inherited, also by those whose output goes elsewhere.
  if (!streams.includes(process.env["JOURNAL_STREAM"] ?? "")) return undefined;
  const where = journaldForwards(root);
  if (where === undefined) return undefined;
  const off = where === "/proc/cmdline"
    ? `take ${bootOption} off the kernel's command line and start again`
    : "(mkdir -p /etc/systemd/journald.conf.d; printf '[Journal]\\nForwardToKMsg=no\\n' " +
      ">/etc/systemd/journald.conf.d/zz-logmill.conf; systemctl restart systemd-journald)";
  return "Cannot log each line once because journald must not copy the journal to the kernel's log: " +
    `current value is ForwardToKMsg=yes in ${where}, and this unit's output goes to the journal. ` +
    `To turn it off: ${off}. Or leave it on, and don't use logos.`;
}

function outputs(): string[] {
  return [1, 2].flatMap((fd) => {
    try {
      const { dev, ino } = fstatSync(fd, { bigint: true });
      return [`${dev}:${ino}`];
    } catch {
      return []; // Closed.
    }
  });
}

/** In the order in which they are read. */
function dropIns(root: string): string[] {
  const paths = new Map<string, string>();
  for (const folder of folders) {
    const conf = `${folder}/systemd/journald.conf.d`;
    for (const name of namesIn(join(root, conf))) {
      if (name.endsWith(".conf") && !paths.has(name)) paths.set(name, `${conf}/${name}`);
    }
  }
  return [...paths].sort(([a], [b]) => a < b ? -1 : 1).map(([, path]) => path);
}

/** What a file says; undefined if it says nothing that makes sense. */
function forwardToKmsg(text: string): boolean | undefined {
  let isJournal = false;
  let said: boolean | undefined;
  for (const line of text.split("\n").map((line) => line.trim())) {
    if (line.startsWith("[")) isJournal = line === "[Journal]";
    const [, value] = /^ForwardToKMsg\s*=\s*(.*)$/.exec(line) ?? [];
    if (isJournal && value !== undefined) said = boolean(value) ?? said;
  }
  return said;
}

function bootedWith(commandLine: string): boolean | undefined {
  let said: boolean | undefined;
  for (const word of commandLine.trim().split(/\s+/)) {
    // systemd takes - for _ here.
    const [name, value] = word.split("=", 2);
    if (name!.replaceAll("-", "_") === bootOption) said = boolean(value ?? "yes") ?? said;
  }
  return said;
}

function boolean(word: string): boolean | undefined {
  if (/^(?:1|yes|y|true|t|on)$/i.test(word)) return true;
  return /^(?:0|no|n|false|f|off)$/i.test(word) ? false : undefined;
}

function read(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
