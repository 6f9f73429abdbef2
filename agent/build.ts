/**
 * The agent as one file for devices that have no runtime: `dist/logmill-agent-TARGET`, for each target.
 *
 * This machine's own is built without a network. Bun for another one is a package of npm's, which bun
 * fetches once, checks against the registry's hash, and keeps in its cache.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { programOptions } from "../shared/options.ts";

interface Target {
  npm: string;
  cpu: "x64" | "arm64";
  libc: "glibc" | "musl";
}

const targets: Record<string, Target> = {
  "linux-x64": { npm: "@oven/bun-linux-x64", cpu: "x64", libc: "glibc" },
  // In Bun 1.4.5 the same bytes as linux-x64, which runs on processors of 2008 (Nehalem) and later.
  "linux-x64-baseline": { npm: "@oven/bun-linux-x64-baseline", cpu: "x64", libc: "glibc" },
  "linux-arm64": { npm: "@oven/bun-linux-aarch64", cpu: "arm64", libc: "glibc" },
  // These need libstdc++ and libgcc on the device.
  "linux-x64-musl": { npm: "@oven/bun-linux-x64-musl", cpu: "x64", libc: "musl" },
  "linux-arm64-musl": { npm: "@oven/bun-linux-aarch64-musl", cpu: "arm64", libc: "musl" },
};

const flags = [
  "--compile",
  "--minify",
  // Starts in 18 ms in place of 41, for 1.8 MB; without esm it takes no top-level await.
  "--bytecode",
  "--format=esm",
  // What stands in the folder where it is started is no business of the agent's.
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
];

const root = fileURLToPath(new URL("..", import.meta.url));
const version = process.versions.bun!;
const ownTarget = `linux-${process.arch}${isMusl() ? "-musl" : ""}`;

const { values } = programOptions(
  "Usage: bun run build:agent [OPTIONS]",
  {
    target: {
      type: "list",
      unit: "target",
      help: `${Object.keys(targets).join(", ")} (default: ${ownTarget})`,
    },
    out: { type: "text", unit: "folder", default: join(root, "dist"), help: "where they go" },
  },
  process.argv.slice(2),
);

try {
  for (const name of values.target.length > 0 ? values.target : [ownTarget]) build(name);
} catch (error) {
  console.error(`build:agent: ${(error as Error).message}`);
  process.exit(1);
}

function build(name: string): void {
  const target = targets[name];
  if (!target) {
    const known = Object.keys(targets).join(", ");
    throw new Error(`Cannot build because --target must be one of ${known}: it is ${name}`);
  }
  mkdirSync(values.out, { recursive: true });
  const file = resolve(values.out, `logmill-agent-${name}`);
  withBunFor(name, target, (bun) => {
    const platform = `--target=bun-linux-${target.cpu}${target.libc === "musl" ? "-musl" : ""}`;
    const runtime = [platform, "--compile-executable-path", bun];
    run(["build", ...flags, ...runtime, "agent/main.ts", "--outfile", file], root);
  });
  console.log(`${file}: ${(statSync(file).size / 1e6).toFixed(0)} MB`);
}

function isMusl(): boolean {
  // The types don't know that a report is an object.
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return process.platform === "linux" && report.header?.glibcVersionRuntime === undefined;
}

/** Calls `use` with the path of that target's Bun, of the very version that runs this. */
function withBunFor(name: string, target: Target, use: (bun: string) => void): void {
  if (name === ownTarget && process.platform === "linux") return use(process.execPath);
  const folder = mkdtempSync(join(tmpdir(), "logmill-build-"));
  try {
    writeFileSync(join(folder, "package.json"), "{}");
    const platform = ["--os", "linux", "--cpu", target.cpu, "--libc", target.libc];
    const care = ["--no-save", "--ignore-scripts", "--prefer-offline"];
    run(["add", ...platform, ...care, `${target.npm}@${version}`], folder);
    use(join(folder, "node_modules", target.npm, "bin/bun"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs the Bun that runs this. What it says is told only if it fails. */
function run(args: string[], cwd: string): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`\`bun ${args.join(" ")}\` failed:\n${stdout}${stderr}`);
}
