import { beforeEach, expect, test } from "bun:test";
import { addDevice, removeDevice } from "./allowlist_edit.ts";
import { AllowListError, type Device } from "./allowlist_format.ts";
import type { Listed, ListPlace } from "./allowlist_place.ts";
import { limits } from "./limits.ts";

/** A text and how often it was replaced. */
class TextPlace implements ListPlace {
  readonly name = "a text";
  text = "";
  writes = 0;
  /** Called between an edit's look and its write. */
  meanwhile = () => {};

  read(): Promise<Listed> {
    return Promise.resolve({ text: this.text, stamp: this.text });
  }

  replace(text: string, stamp: string): Promise<boolean> {
    this.meanwhile();
    if (this.text !== stamp) return Promise.resolve(false);
    this.text = text;
    this.writes++;
    return Promise.resolve(true);
  }
}

const [A, B, C] = ["A", "B", "C"].map((letter) => letter.repeat(43)) as [string, string, string];
const device = (thumbprint: string, name: string, labels: Record<string, string> = {}): Device => ({
  thumbprint,
  name,
  labels,
});
let place: TextPlace;
beforeEach(() => {
  place = new TextPlace();
});

async function codeOf(action: Promise<unknown>): Promise<string | undefined> {
  const error = await action.then(() => undefined, (error) => error);
  expect(error).toBeInstanceOf(AllowListError);
  return (error as AllowListError).code;
}

test("adding a device writes one line and keeps what was there", async () => {
  expect(await addDevice(place, device(A, "one", { site: "north" }))).toBe(true);
  place.text = `# mine\n${place.text}\n# end`;
  expect(await addDevice(place, device(B, "two"))).toBe(true);
  expect(place.text).toBe(`# mine\n${A} one site=north\n\n# end\n${B} two\n`);
});

test("adding a device again changes nothing, and with another key or name it is refused", async () => {
  await addDevice(place, device(A, "one", { site: "north" }));
  expect(await addDevice(place, device(A, "one", { site: "north" }))).toBe(false);
  expect(await codeOf(addDevice(place, device(A, "two")))).toBe("device_exists");
  expect(await codeOf(addDevice(place, device(B, "one")))).toBe("device_exists");
  expect(await codeOf(addDevice(place, device(A, "one", { site: "south" })))).toBe("device_exists");
  expect(place.writes).toBe(1);
});

test("adding a device that would be a bad line is refused before anything is written", async () => {
  expect(await codeOf(addDevice(place, device(A, "a\nb")))).toBe("bad_device");
  expect(place.writes).toBe(0);
});

test("removing a device by name or thumbprint keeps comments and the others", async () => {
  place.text = `# top\n${A} one # x\n${B} two\n\n${C} three\n`;
  expect(await removeDevice(place, "two")).toBe(1);
  expect(await removeDevice(place, A)).toBe(1);
  expect(await removeDevice(place, "nobody")).toBe(0);
  expect(await removeDevice(place, "")).toBe(0);
  expect([place.text, place.writes]).toEqual([`# top\n\n${C} three\n`, 2]);
});

test("removing a device removes the lines that it overruled, so that none comes to life", async () => {
  place.text = `${A} one\n${A} two\n${B} one\n${C} three\n`;
  expect(await removeDevice(place, "one")).toBe(3);
  expect(place.text).toBe(`${C} three\n`);
});

test("an edit that another's edit got ahead of is made of that one's text", async () => {
  place.meanwhile = () => {
    place.text += `${B} two\n`;
    place.meanwhile = () => {};
  };
  await addDevice(place, device(A, "one"));
  expect(place.text).toBe(`${B} two\n${A} one\n`);
});

test("an edit that contradicts the one that got ahead of it is refused", async () => {
  place.meanwhile = () => place.text = `${B} one\n`;
  expect(await codeOf(addDevice(place, device(A, "one")))).toBe("device_exists");
});

test("an edit gives up when the list never holds still, and says so", async () => {
  let others = 0;
  place.meanwhile = () => place.text = `# ${++others}\n`;
  expect(await codeOf(addDevice(place, device(A, "one")))).toBe("contended");
  expect(others).toBe(limits.listEditsMax);
});
