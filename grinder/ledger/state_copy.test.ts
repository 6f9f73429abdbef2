import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { bunPath, killAll, root } from "../../tests/programs.ts";
import { StateFile } from "../state_file.ts";
import { LedgerError, StateCopy } from "./state_copy.ts";

afterAll(killAll);

/** A process that writes all the time; killed when it is disposed of. */
class Writer implements AsyncDisposable {
  private constructor(private readonly child: ChildProcess) {}

  static async start(folder: string, checkpointPages: number): Promise<Writer> {
    const program = join(root, "grinder/ledger/busy_writer.ts");
    const child = spawn(bunPath, [program, folder, String(checkpointPages)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout!, "data");
    return new Writer(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exited;
  }
}

/** The distinct numbers in a copy's rows, and how many rows there are. */
function roundsIn(copy: StateCopy): [rounds: number[], rows: number] {
  const file = StateFile.open(copy.folder, 0, (text) => {
    throw new Error(text);
  });
  const rows = file.all("SELECT segment FROM cursors").map((row) => row["segment"] as number);
  file.close();
  return [[...new Set(rows)], rows.length];
}

function leftBehind(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("logmill-ledger-"));
}

describe("StateCopy", () => {
  test("is one moment of a state that another process writes into all the time", async () => {
    using folder = new TemporaryFolder();
    await using _writer = await Writer.start(folder.path, 2_000);
    let [last, copies] = [0, 0];
    for (let i = 0; i < 40; i++) {
      using copy = StateCopy.of(folder.path);
      const [rounds, rows] = roundsIn(copy);
      expect([rounds.length, rows]).toEqual([1, 400]);
      expect(rounds[0]!).toBeGreaterThanOrEqual(last);
      if (rounds[0]! > last) copies++;
      last = rounds[0]!;
    }
    expect(copies).toBeGreaterThan(5);
  }, 60_000);

  test("gives up, and leaves nothing, where the log begins anew in every try", () => {
    using folder = new TemporaryFolder();
    const before = leftBehind();
    using state = new DisposableStack();
    const file = state.adopt(StateFile.open(folder.path, 0, () => {}), (file) => file.close());
    file.all("PRAGMA wal_autocheckpoint = 1");
    let n = 0;
    // The second one begins the log anew.
    const restart = () => {
      for (let i = 0; i < 2; i++) file.run("INSERT INTO cursors VALUES(?, 0, 0)", String(n++));
    };
    restart();
    expect(() => StateCopy.of(folder.path, restart)).toThrow(LedgerError);
    expect(() => StateCopy.of(folder.path, restart)).toThrow(
      /Cannot copy .* because it must stand/,
    );
    expect(leftBehind()).toEqual(before);
  });

  test("begins again where the log was begun anew, or a grinder has stopped or started, meanwhile", () => {
    using folder = new TemporaryFolder();
    const open = () => StateFile.open(folder.path, 0, () => {});
    const write = (n: number) => {
      const file = open();
      file.run("INSERT INTO cursors VALUES(?, ?, 0)", `e${n}`, n);
      return file;
    };
    write(1).close();
    let tries = 0;
    // Without a log before and after: it stopped again.
    using stopped = StateCopy.of(folder.path, () => void (tries++ === 0 && write(2).close()));
    expect([tries, roundsIn(stopped)[1]]).toEqual([2, 2]);
    tries = 0;
    const running: StateFile[] = [];
    using started = StateCopy.of(folder.path, () => void (tries++ === 0 && running.push(write(3))));
    expect([tries, roundsIn(started)[1]]).toEqual([2, 3]);
    tries = 0;
    using ended = StateCopy.of(folder.path, () => void (tries++ === 0 && running[0]!.close()));
    expect([tries, roundsIn(ended)[1]]).toEqual([2, 3]);
  });

  test("doesn't mix a file with the log of a try before", () => {
    using folder = new TemporaryFolder();
    const file = StateFile.open(folder.path, 0, () => {});
    const set = (n: number) => file.run("INSERT OR REPLACE INTO cursors VALUES('e', ?, 0)", n);
    file.all("PRAGMA wal_autocheckpoint = 1");
    set(1);
    let tries = 0;
    using copy = StateCopy.of(folder.path, () => {
      // The log begins anew, and is copied; then the grinder ends, and there is none.
      if (tries === 0) [2, 3].forEach(set);
      else if (tries === 1) [4, 5].forEach(set);
      else if (tries === 2) {
        [6, 7].forEach(set);
        file.close();
      }
      tries++;
    });
    expect([tries, roundsIn(copy)]).toEqual([4, [[7], 1]]);
  });

  test("refuses a folder without a state, and doesn't make one", () => {
    using folder = new TemporaryFolder();
    writeFileSync(join(folder.path, "devices"), "");
    expect(() => StateCopy.of(folder.path)).toThrow(
      /grinder\.sqlite must be there: nothing has been ground/,
    );
    expect(existsSync(join(folder.path, "grinder.sqlite"))).toBe(false);
  });

  test("is gone when it is disposed of", () => {
    using folder = new TemporaryFolder();
    StateFile.open(folder.path, 0, () => {}).close();
    const copy = StateCopy.of(folder.path);
    expect(existsSync(join(copy.folder, "grinder.sqlite"))).toBe(true);
    copy[Symbol.dispose]();
    expect(existsSync(copy.folder)).toBe(false);
  });
});
