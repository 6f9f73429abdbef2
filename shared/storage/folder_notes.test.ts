import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { newFolder, removeFolders } from "./folder_fixtures.ts";
import { FolderNotes } from "./folder_notes.ts";

afterAll(removeFolders);

describe("notes in a folder", () => {
  test("are none where there is no folder", async () => {
    expect(await new FolderNotes(join(newFolder(), "none")).all()).toEqual(new Map());
  });

  test("are each the last text that was put, also for another process", async () => {
    const root = newFolder();
    const notes = new FolderNotes(root);
    await notes.put("mill-1", "one\n");
    await notes.put("mill.2", "");
    await notes.put("mill-1", "two, longer\n");
    await notes.put("mill-1", "3\n");
    const wanted = new Map([["mill-1", "3\n"], ["mill.2", ""]]);
    expect(await notes.all()).toEqual(wanted);
    expect(await new FolderNotes(root).all()).toEqual(wanted);
    expect(readdirSync(join(root, "cursors")).sort()).toEqual(["mill-1", "mill.2"]);
  });

  test("may be deleted by hand, and leave out what isn't one", async () => {
    const root = newFolder();
    const notes = new FolderNotes(root);
    await notes.put("a", "1");
    // Half a note, of a process that was killed.
    writeFileSync(join(root, "cursors", "~b"), "2");
    expect([...(await notes.all()).keys()]).toEqual(["a"]);
    await notes.put("b", "3");
    expect(readFileSync(join(root, "cursors", "b"), "utf8")).toBe("3");
  });

  test("need a name that is one", async () => {
    for (const name of ["", "..", "a/b", "~a", "a b"]) {
      await expect(new FolderNotes(newFolder()).put(name, "1")).rejects.toThrow("must have a name");
    }
  });

  test("that can't be put or read are a storage error, and leave the old text", async () => {
    const root = newFolder();
    const notes = new FolderNotes(root);
    await notes.put("a", "1");
    mkdirSync(join(root, "cursors", "~a"));
    await expect(notes.put("a", "2")).rejects.toMatchObject({ code: "storage" });
    rmdirSync(join(root, "cursors", "~a"));
    expect(await notes.all()).toEqual(new Map([["a", "1"]]));
    mkdirSync(join(root, "cursors", "b"));
    await expect(notes.all()).rejects.toMatchObject({ code: "storage" });
  });
});
