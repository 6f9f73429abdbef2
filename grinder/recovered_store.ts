/** The lines of boots' last words, in the state. */
import type { RecoveredStore, StreamLine } from "./recovered.ts";
import type { StateFile } from "./state_file.ts";

export class SqlRecoveredStore implements RecoveredStore {
  constructor(private readonly file: StateFile) {}

  boots(): string[] {
    return this.file.all("SELECT DISTINCT boot FROM recovered").map((row) => row["boot"] as string);
  }

  load(boot: string): StreamLine[] {
    const sql = "SELECT boot, stream, line, seen, fresh FROM recovered WHERE boot = ?";
    return this.file.all(sql, boot) as unknown as StreamLine[];
  }

  save({ boot, stream, line, seen, fresh }: StreamLine, recvUs: number): void {
    const sql = "INSERT OR REPLACE INTO recovered VALUES(?, ?, ?, ?, ?, ?)";
    this.file.run(sql, boot, stream, line, seen, fresh, recvUs);
  }

  /** Last words come when a device starts again: later than this none are expected any more. */
  forgetBefore(us: number): void {
    this.file.run("DELETE FROM recovered WHERE recv_us < ?", us);
  }
}
