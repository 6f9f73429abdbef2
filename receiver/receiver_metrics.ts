/** What a receiver tells Prometheus: its streams, bytes, refusals, commits and itself. */
import process from "node:process";
import type { Admission } from "./admission.ts";
import { type Counter, type Histogram, Metrics } from "./metrics.ts";

/** Seconds; from a disk's cache to an S3 that hangs. */
const commitBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export interface Watched {
  admission: Admission;
  advice: { flushMs: number };
  commits: { problem: Error | undefined };
  door: { size: number };
}

export class ReceiverMetrics {
  readonly #metrics = new Metrics();
  readonly #textBytes: Counter;
  readonly #blocks: Counter;
  readonly #refusals: Counter;
  readonly #commits: Histogram;
  readonly #committedBytes: Counter;
  readonly #storageErrors: Counter;

  constructor() {
    const m = this.#metrics;
    this.#textBytes = m.counter("logmill_received_bytes_total", "Log text received, decoded.");
    this.#blocks = m.counter("logmill_received_blocks_total", "Frames of uploads received.");
    this.#refusals = m.counter("logmill_refusals_total", "Uploads refused or ended.", "reason");
    this.#commits = m.histogram(
      "logmill_commit_seconds",
      "From the beginning of a commit until it is durable.",
      commitBounds,
    );
    this.#committedBytes = m.counter("logmill_committed_bytes_total", "Log text made durable.");
    this.#storageErrors = m.counter("logmill_storage_errors_total", "Commits that failed.");
    m.gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
    m.counted("process_cpu_seconds_total", "User and system time.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
  }

  /** Adds what is read off others when somebody asks. */
  watch({ admission, advice, commits, door }: Watched): void {
    const m = this.#metrics;
    const modes = (of: (mode: "live" | "bulk") => number) => () => ({
      live: of("live"),
      bulk: of("bulk"),
    });
    const { bytes } = admission;
    m.gauge("logmill_streams", "Open streams.", modes((mode) => admission.open(mode)), "mode");
    m.gauge(
      "logmill_in_flight_bytes",
      "Text that waits for its commit.",
      modes((mode) => bytes[mode].permits - bytes[mode].available),
      "mode",
    );
    m.gauge(
      "logmill_flush_seconds",
      "Flush time that senders are asked for.",
      () => advice.flushMs / 1000,
    );
    m.gauge("logmill_devices", "Devices on the allow-list.", () => door.size);
    m.gauge(
      "logmill_storage_ready",
      "1 if the storage takes writes.",
      () => commits.problem ? 0 : 1,
    );
  }

  received(textBytes: number): void {
    this.#textBytes.add(textBytes);
    this.#blocks.add();
  }

  refused(reason: string): void {
    this.#refusals.add(1, reason);
  }

  committed({ ms, textBytes, ok }: { ms: number; textBytes: number; ok: boolean }): void {
    if (!ok) return this.#storageErrors.add();
    this.#commits.observe(ms / 1000);
    this.#committedBytes.add(textBytes);
  }

  text(): string {
    return this.#metrics.text();
  }
}
