/**
 * Files in, the archive that Linux unpacks as its first root folder out: cpio's format `newc`.
 *
 * | part of an entry | what it is |
 * |------------------|------------|
 * | header | `070701`, then 13 numbers of 8 hexadecimal digits each |
 * | name | with a NUL, and zeros to the next multiple of 4 bytes |
 * | content | with zeros to the next multiple of 4 bytes |
 *
 * The numbers: inode, mode, uid, gid, links, mtime, size, four device numbers (two of the file system,
 * two of the node), length of the name with its NUL, 0. The last entry's name is `TRAILER!!!`.
 *
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
 */
import { Buffer } from "node:buffer";

const programMode = 0o100755;
const folderMode = 0o040755;

/** Programs by path. Their folders, and those that are to be empty, are made before them. */
export function newc(files: Map<string, Uint8Array>, emptyFolders: string[]): Buffer {
  const folders = new Set(emptyFolders);
  for (const path of files.keys()) {
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
      folders.add(path.slice(0, at));
    }
  }
  let inode = 1;
  return Buffer.concat([
    ...[...folders].sort().flatMap((path) => entry(inode++, folderMode, path)),
    ...[...files].flatMap(([path, bytes]) => entry(inode++, programMode, path, bytes)),
    ...entry(0, 0, "TRAILER!!!"),
  ]);
}

function entry(
  inode: number,
  mode: number,
  path: string,
  bytes: Uint8Array = new Uint8Array(),
): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const numbers = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
  const header = "070701" + numbers.map((n) => n.toString(16).padStart(8, "0")).join("");
  const head = Buffer.concat([Buffer.from(header), name]);
  return [head, zerosAfter(head), bytes, zerosAfter(bytes)];
}

function zerosAfter({ length }: Uint8Array): Uint8Array {
  return new Uint8Array((4 - length % 4) % 4);
}
