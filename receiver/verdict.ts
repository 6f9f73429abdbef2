/** An error goes in; the code for the client and the status come out. */
import { StorageError } from "../shared/storage/storage.ts";
import { AuthError } from "../shared/token.ts";
import { UploadError } from "../shared/upload.ts";
import { Refusal } from "./admission.ts";

export interface Verdict {
  code: string;
  /** 4xx but 401, 403, 408 and 429 are about this batch, for good; all others about now. */
  status: 400 | 401 | 403 | 408 | 413 | 415 | 429 | 500 | 503;
}

export function verdict(error: unknown): Verdict {
  const expected = [AuthError, UploadError, Refusal, StorageError];
  if (expected.some((kind) => error instanceof kind)) return error as Error & Verdict;
  // The sender went away, or was silent for too long: hardly anybody reads this.
  if ((error as Error)?.name === "AbortError") return { code: "cut_off", status: 408 };
  console.error(error);
  return { code: "internal", status: 500 };
}
