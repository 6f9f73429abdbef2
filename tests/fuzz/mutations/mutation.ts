/** What a mutation is, and which may come together: at most one of each area. */
import type { Draw } from "../draw.ts";
import type { Upload } from "../upload.ts";

export interface Mutation {
  name: string;
  /** How often, beside the others of its area; 1 unless it says otherwise. */
  weight?: number;
  /** Whether it can be applied to this upload; to any, unless it says otherwise. */
  fits?: (upload: Upload) => boolean;
  /** It changes what others would have to know: it never comes with one. */
  alone?: boolean;
  /** Changes the upload and what is expected of it. */
  apply: (upload: Upload, draw: Draw) => void;
}

export const framed = (upload: Upload) => upload.kind === "frames";
export const raw = (upload: Upload) => upload.kind === "raw";
export const zipped = (upload: Upload) => upload.kind === "gzip";
export const lines = (upload: Upload) => upload.kind !== "frames";
