/** A program that is killed and started again, as an init system would; what became of each of its lives. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Program } from "../programs.ts";

/** One that ended by itself is started again after so long. */
const restartMs = 500;

export class Victim {
  kills = 0;
  /** What each life said that ended by itself. */
  readonly fell: string[] = [];
  /** What all lives that ended said. */
  #said = "";
  #program: Program | undefined;
  #isExpected = false;
  /** Until it is back from an absence. */
  #absence: Promise<void> | undefined;

  constructor(readonly name: string, private readonly begin: () => Promise<Program>) {}

  async start(): Promise<void> {
    const program = await this.begin();
    this.#program = program;
    this.#isExpected = false;
    void program.exited().then((status) => {
      this.#said += program.output;
      if (!this.#isExpected) this.#fallen(program, status);
    });
  }

  get isAway(): boolean {
    return this.#absence !== undefined;
  }

  /** kill -9, and another one; where it stays away for a while, that isn't waited for. */
  async kill(awayMs = 0): Promise<void> {
    await this.#absence;
    this.kills++;
    this.#isExpected = true;
    await this.#program!.kill();
    if (awayMs === 0) return await this.start();
    this.#stayAway(awayMs);
  }

  /** Its exit status, after SIGTERM. */
  async stop(): Promise<number | null> {
    await this.#absence;
    this.#isExpected = true;
    return await this.#program!.stop();
  }

  /** What a pattern's groups say, as numbers, of each time that it was said. */
  all(pattern: RegExp): number[][] {
    const said = this.#said + (this.#program?.running ? this.#program.output : "");
    return [...said.matchAll(pattern)].map(([, ...groups]) =>
      groups.map((text) => Number(text ?? 0))
    );
  }

  #fallen(program: Program, status: number | null): void {
    // Without the places in a stack.
    const said = program.output.split("\n").findLast((line) => /^\S/.test(line));
    this.fell.push(`${this.name} ended with ${status}: ${said}`);
    this.#stayAway(restartMs);
  }

  #stayAway(ms: number): void {
    this.#absence = sleep(ms).then(() => this.start()).finally(() => this.#absence = undefined);
  }
}
