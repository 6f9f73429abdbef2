/**
 * The one gate: lint, types, all tests under Bun, and what reads segments under Deno again. Ends with
 * the line `N passed, N failed`; exit status 1 if anything failed.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import process from "node:process";
import { bunPath, denoPath, root } from "./programs.ts";

interface Step {
  name: string;
  command: string[];
  /** Finds the runner's own counts in what it printed; a step without is one test. */
  counts?: { passed: RegExp; failed: RegExp };
}

/** Tests of what reads segments, and of all of the grinder, which runs under Deno. */
function denoTests(): string[] {
  const grinder = (readdirSync(`${root}/grinder`, { recursive: true }) as string[])
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => `grinder/${file}`);
  const shared = ["record", "zstd", "block", "upload", "intervals", "segment_reader"]
    .map((name) => `shared/${name}.test.ts`);
  const storage = [
    "folder",
    "folder_epoch",
    "folder_notes",
    "cursors",
    "retention",
    "s3",
    "s3_epoch",
    "s3_errors",
    "s3_lifecycle",
  ]
    .map((name) => `shared/storage/${name}.test.ts`);
  return [...shared, "shared/duration.test.ts", ...storage, ...grinder];
}

const steps: Step[] = [
  { name: "format", command: [denoPath, "fmt", "--check"] },
  { name: "lint", command: [denoPath, "lint"] },
  { name: "types", command: [`${root}/node_modules/.bin/tsc`, "--noEmit"] },
  {
    name: "tests under Bun",
    // Whole-system tests start real processes: 5 s, Bun's default, is too short for those.
    command: [bunPath, "test", "--timeout", "60000"],
    counts: { passed: /^\s*(\d+) pass$/m, failed: /^\s*(\d+) fail$/m },
  },
  {
    name: "tests under Deno",
    command: [denoPath, "test", "-A", "--no-check", ...denoTests()],
    counts: { passed: /(\d+) passed/, failed: /(\d+) failed/ },
  },
];

let passed = 0;
let failed = 0;
for (const { name, command, counts } of steps) {
  console.log(`\n== ${name}: ${command.map((word) => word.replace(`${root}/`, "")).join(" ")}`);
  const startMs = performance.now();
  const { status, output } = await run(command);
  const ran = Number(counts?.passed.exec(output)?.[1] ?? (status === 0 ? 1 : 0));
  const broke = Number(counts?.failed.exec(output)?.[1] ?? 0);
  // A runner that died, or that found no test, has failed whatever it counted.
  const died = broke === 0 && (status !== 0 || ran === 0);
  passed += ran;
  failed += broke + (died ? 1 : 0);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`== ${name}: ${status === 0 && !died ? "ok" : "FAILED"} in ${seconds} s`);
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

function run([command, ...args]: string[]): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn(command!, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const take = (chunk: Uint8Array) => {
      process.stdout.write(chunk);
      output = (output + new TextDecoder().decode(chunk)).slice(-100_000);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("close", (status) => resolve({ status, output }));
  });
}
