/** A place as the operator writes it in, the archive's end of it out: a folder or `s3://...`. */
import { type OpenOptions, parseS3Place, s3Options } from "../../shared/storage/open.ts";
import type { ArchivePlace } from "./place.ts";
import { FolderPlace } from "./place_folder.ts";

/** What another thread opens it by. */
export interface PlaceName {
  data: string;
  options: OpenOptions;
}

/** The place has been tried by `openStorage`. */
export async function openPlace(place: string, options: OpenOptions): Promise<ArchivePlace> {
  const s3 = parseS3Place(place);
  if (!s3) return new FolderPlace(place);
  const [{ S3Place }, { s3Client }] = await Promise.all([
    import("./place_s3.ts"),
    import("../../shared/storage/s3_bucket.ts"),
  ]);
  const region = options["s3-region"] ?? s3Options["s3-region"].default;
  return new S3Place({ ...s3, client: s3Client({ endpoint: options["s3-endpoint"], region }) });
}
