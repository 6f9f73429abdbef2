/**
 * Row groups to their digests, with the help of other threads: whoever is free takes the next one. A
 * group goes there as it is stored, a MB for ten of text, and so few that each thread always has one
 * waiting; what came of it comes back as numbers and bytes.
 */
import { setImmediate } from "node:timers";
import { Worker } from "node:worker_threads";
import { type Failures, rulesMark } from "../engine/thread_data.ts";
import type { Rule } from "../rule.ts";
import { GroupDigester, type GroupPart, type GroupSource } from "./group_digester.ts";

export interface GroupTask extends GroupSource {
  id: number;
}

export type GroupWord =
  /** It has its rules. */
  | "ready"
  | { id: number; parts: GroupPart[]; failures: Failures }
  /** It can't be read. */
  | { id: number; why: string };

export interface GroupThreadsOptions {
  rules: readonly Rule[];
  /** Where other threads find them. */
  rulesPath: string;
  /** Other threads; 0: all is done in this one. */
  threads: number;
  /** Told of a thread that ended. */
  warn: (text: string) => void;
}

export interface GroupJob {
  task: GroupTask;
  /** What came of it; undefined as long as nothing has. */
  parts: GroupPart[] | undefined;
  /** Why nothing came of it. */
  why: string | undefined;
  isTaken: boolean;
}

interface Thread {
  worker: Worker;
  jobs: Map<number, GroupJob>;
  isReady: boolean;
}

/** What a thread does, and what it does next: so it never waits. */
const jobsOfThread = 2;

export class GroupThreads implements AsyncDisposable {
  readonly #digester: GroupDigester;
  #threads: Thread[] = [];
  #queue: GroupJob[] = [];
  #next = 0;
  #ended = false;
  #wake = () => {};

  constructor(private readonly options: GroupThreadsOptions) {
    this.#digester = new GroupDigester(options.rules);
    for (let i = 0; i < options.threads; i++) this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  /** So many are worth to be put in before the first is asked for. */
  get ahead(): number {
    return jobsOfThread * this.#threads.length + 2;
  }

  put(rows: number, chunks: GroupTask["chunks"], fromRow: number): GroupJob {
    const task = { id: this.#next++, rows, chunks, fromRow };
    const job: GroupJob = { task, parts: undefined, why: undefined, isTaken: false };
    this.#queue.push(job);
    this.#hand();
    return job;
  }

  /** Does other groups as long as this one isn't done. */
  async settled(job: GroupJob): Promise<void> {
    while (!isDone(job)) {
      const next = job.isTaken ? this.#queue.find(({ isTaken }) => !isTaken) : job;
      if (next) this.#digest(next);
      // Words of threads come in turns of the event loop.
      else await new Promise<void>((resolve) => this.#wake = resolve);
      if (next) await turn();
    }
    this.#queue = this.#queue.filter((one) => one !== job);
  }

  #digest(job: GroupJob): void {
    job.isTaken = true;
    try {
      job.parts = this.#digester.digest(job.task);
    } catch (error) {
      job.why = (error as Error).message;
    }
  }

  /** Gives threads what they have room for, the oldest first. */
  #hand(): void {
    for (const { worker, jobs, isReady } of this.#threads) {
      while (isReady && jobs.size < jobsOfThread) {
        const job = this.#queue.find(({ isTaken }) => !isTaken);
        if (!job) return;
        job.isTaken = true;
        jobs.set(job.task.id, job);
        worker.postMessage(job.task);
      }
    }
  }

  #start(): void {
    const { rules, rulesPath } = this.options;
    const data = { rulesPath, mark: rulesMark(rules) };
    const worker = new Worker(new URL("./group_thread.ts", import.meta.url), { workerData: data });
    const thread: Thread = { worker, jobs: new Map(), isReady: false };
    let why = "it ended";
    worker.on("message", (word: GroupWord | string) => {
      if (typeof word === "object") return this.#heard(thread, word);
      if (word !== "ready") return void (why = word);
      thread.isReady = true;
      this.#hand();
    });
    worker.on("error", (error) => why = String(error));
    worker.on("exit", () => this.#lost(thread, why));
    this.#threads.push(thread);
  }

  #heard({ jobs }: Thread, word: Exclude<GroupWord, "ready">): void {
    const job = jobs.get(word.id)!;
    jobs.delete(word.id);
    if ("parts" in word) {
      job.parts = word.parts;
      addFailures(this.options.rules, word.failures);
    } else job.why = word.why;
    this.#hand();
    this.#wake();
  }

  #lost(thread: Thread, why: string): void {
    if (this.#ended) return;
    this.#threads = this.#threads.filter((one) => one !== thread);
    for (const job of thread.jobs.values()) job.isTaken = false;
    this.options.warn(`a thread is lost, others do its work from now on: ${why}`);
    this.#wake();
  }
}

function isDone({ parts, why }: GroupJob): boolean {
  return parts !== undefined || why !== undefined;
}

/** Whoever asks these rules how they have failed hears of all threads. */
function addFailures(rules: readonly Rule[], all: Failures): void {
  for (const { rule: name, count, first } of all) {
    const rule = rules.find((one) => one.name === name);
    if (rule?.kind !== "mapper") continue;
    rule.failures.first ||= first;
    rule.failures.count += count;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
