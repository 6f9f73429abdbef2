/**
 * DuckDB, as far as the archive needs it: statements run, in a database in memory that spills to a
 * folder. It is an optional dependency, loaded here and nowhere else.
 */
import { mkdirSync } from "node:fs";

export interface DuckOptions {
  /** For what doesn't fit its memory. */
  scratch: string;
  memoryBytes: number;
  threads: number;
}

/** DuckDB isn't there, or can't do what was asked. */
export class DuckError extends Error {
  override name = "DuckError";
  readonly code = "duckdb";
}

export type Cell = string | number | bigint | boolean | null;

export class Duck implements Disposable {
  private constructor(
    private readonly close: () => void,
    private readonly connection: Connection,
  ) {}

  /** Throws `DuckError`. */
  static async open({ scratch, memoryBytes, threads }: DuckOptions): Promise<Duck> {
    const { DuckDBInstance } = await loadDuckDB();
    mkdirSync(scratch, { recursive: true });
    const instance = await DuckDBInstance.create(":memory:", {
      threads: String(threads),
      memory_limit: `${Math.floor(memoryBytes / 1e6)}MB`,
      temp_directory: scratch,
      // Nothing is fetched from anywhere.
      autoinstall_known_extensions: "false",
    });
    const connection = await instance.connect();
    return new Duck(() => {
      connection.closeSync();
      instance.closeSync();
    }, connection as unknown as Connection);
  }

  /** Throws `DuckError`. */
  async run(sql: string): Promise<void> {
    await this.rows(sql);
  }

  /** Throws `DuckError`. */
  async rows(sql: string): Promise<Cell[][]> {
    try {
      return (await this.connection.runAndReadAll(sql)).getRows();
    } catch (error) {
      throw new DuckError(`DuckDB: ${(error as Error).message}`, { cause: error });
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

interface Connection {
  runAndReadAll(sql: string): Promise<{ getRows(): Cell[][] }>;
}

/** Throws `DuckError` where it isn't installed. */
export async function loadDuckDB(): Promise<typeof import("@duckdb/node-api")> {
  try {
    return await import("@duckdb/node-api");
  } catch (error) {
    throw new DuckError(
      "Cannot load DuckDB because @duckdb/node-api must be installed: run `npx -y bun@1.4.5 install` " +
        `without --omit=optional in logmill's folder (${(error as Error).message.split("\n")[0]})`,
    );
  }
}

/** A text as SQL has it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
