/**
 * DuckDB for one query of somebody's: views are made, then all doors are shut, then the query runs. What
 * is shut: files but those of the views, databases, extensions, settings; and any statement but a query,
 * since DuckDB lets a statement write where a view may read.
 */
import { mkdirSync } from "node:fs";
import type { DuckDBConnection, DuckDBResult } from "@duckdb/node-api";
import { DuckError, loadDuckDB, quoted } from "../archive/duck.ts";

export interface SessionOptions {
  /** For what doesn't fit its memory. */
  scratch: string;
  memoryBytes: number;
}

/** The query isn't one, or DuckDB can't run it: in its own words. */
export class QueryError extends Error {
  override name = "QueryError";
  readonly code = "query";
}

/** DuckDB's numbers of statements. */
const selectStatement = 1;
const explainStatement = 4;

export class Session implements Disposable {
  private constructor(
    private readonly connection: DuckDBConnection,
    private readonly close: () => void,
  ) {}

  /** Throws `DuckError`. */
  static async open({ scratch, memoryBytes }: SessionOptions): Promise<Session> {
    const { DuckDBInstance } = await loadDuckDB();
    mkdirSync(scratch, { recursive: true });
    const instance = await DuckDBInstance.create(":memory:", {
      memory_limit: `${Math.floor(memoryBytes / 1e6)}MB`,
      temp_directory: scratch,
      autoinstall_known_extensions: "false",
      autoload_known_extensions: "false",
    });
    const connection = await instance.connect();
    await connection.run("set TimeZone = 'UTC'");
    return new Session(connection, () => {
      connection.closeSync();
      instance.closeSync();
    });
  }

  /** Our own statements, before `shut`. Throws `DuckError`. */
  async make(statements: readonly string[]): Promise<void> {
    for (const sql of statements) {
      try {
        await this.connection.run(sql);
      } catch (error) {
        throw new DuckError(`DuckDB: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  /** From now on only these files are read, and nothing of that can be undone. */
  async shut(files: readonly string[]): Promise<void> {
    await this.make([
      `set allowed_paths = [${files.map(quoted).join(", ")}]`,
      "set enable_external_access = false",
      "set lock_configuration = true",
    ]);
  }

  /** Begins to run a query. Throws `QueryError`. */
  async query(sql: string): Promise<DuckDBResult> {
    try {
      const statements = await this.connection.extractStatements(sql);
      if (statements.count !== 1) throw new QueryError(`it must be one: it is ${statements.count}`);
      const statement = await statements.prepare(0);
      if (!isReading(statement.statementType, sql)) {
        throw new QueryError(
          "it must be a query, which changes nothing: select, with, describe, explain",
        );
      }
      return await statement.stream();
    } catch (error) {
      throw new QueryError(`Cannot run the query because ${told(error)}`, { cause: error });
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** `explain analyze` runs what it explains. */
function isReading(type: number, sql: string): boolean {
  if (type === selectStatement) return true;
  return type === explainStatement && /^\s*explain\s+(select|with|from)\b/i.test(sql);
}

/** What DuckDB says, without what it says of its own workings. */
export function told(error: unknown): string {
  const { message } = error as Error;
  if (message === "Error in native callback") return "it must be a query: it is empty";
  return message.replace(/^Failed to extract statements: /, "");
}
