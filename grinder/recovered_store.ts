/** What the state keeps of boots for the time when their last words come: places and lines. */
import { limits } from "../shared/limits.ts";
import type { RecoveredStore, StreamLine } from "./recovered.ts";
import type { StateFile } from "./state_file.ts";
import type { Place, Stretch } from "./tails.ts";

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

  /** The places of a boot, oldest first. */
  loadPlaces(boot: string): Place[] {
    return this.file.all("SELECT places FROM tails WHERE boot = ? ORDER BY id", boot)
      .flatMap((row) => JSON.parse(row["places"] as string) as Place[]);
  }

  /** Adds a batch's places; those of batches long before go. */
  savePlaces({ boot, places, recvUs }: Stretch): void {
    const values = [boot, JSON.stringify(places), recvUs];
    this.file.run("INSERT INTO tails(boot, places, recv_us) VALUES(?, ?, ?)", ...values);
    this.file.run(
      "DELETE FROM tails WHERE boot = ?1 AND id <= " +
        "(SELECT id FROM tails WHERE boot = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
      boot,
      limits.tailFramesMax,
    );
  }

  /** Last words come when a device starts again: later than this none are expected any more. */
  forgetBefore(us: number): void {
    this.file.run("DELETE FROM tails WHERE recv_us < ?", us);
    this.file.run("DELETE FROM recovered WHERE recv_us < ?", us);
  }
}
