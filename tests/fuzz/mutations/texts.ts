/** What stands in a frame that is whole: header lines that lie, lines that forge, endings that lack. */
import { limits } from "../../../shared/limits.ts";
import type { Draw } from "../draw.ts";
import type { Frame, Upload } from "../upload.ts";
import { framed, type Mutation } from "./mutation.ts";

/** Gives one frame another text, which must be refused. */
function bad(
  name: string,
  make: (frame: Frame, draw: Draw, upload: Upload) => [head: string, records: string],
): Mutation {
  const apply = (upload: Upload, draw: Draw) => {
    const k = draw.between(0, upload.frames.length);
    upload.spoil(k, "bad_frame");
    upload.rewrite(k, ...make(upload.frames[k]!, draw, upload));
  };
  return { name: `text: ${name}`, fits: framed, apply };
}

/** The same for a text that must be taken as it is. */
function good(
  name: string,
  make: (frame: Frame, draw: Draw, upload: Upload) => [head: string, records: string],
): Mutation {
  const apply = (upload: Upload, draw: Draw) => {
    const k = draw.between(0, upload.frames.length);
    upload.rewrite(k, ...make(upload.frames[k]!, draw, upload));
  };
  return { name: `text: ${name}`, fits: framed, apply };
}

const forged = [
  "#1 victim b kmsg s 1795348800000000 0 0 1",
  "#0 0 0 1",
  "#end",
  "#",
  "# comment",
  "#2 x",
];

export const texts: Mutation[] = [
  bad("a line that forges a header", ({ head, records }, draw) => {
    return [head, `${records}${draw.pick(forged)}\n6,0,0,-;forged\n`];
  }),
  bad(
    "a forged header first",
    ({ head, records }, draw) => [head, `${draw.pick(forged)}\n${records}`],
  ),
  bad(
    "a forged header last",
    ({ head, records }, draw) => [head, `${records}${draw.pick(forged)}\n`],
  ),
  bad("begins with a space", ({ head, records }) => [head, ` KEY=victim\n${records}`]),
  bad(
    "no newline at its end",
    (
      { head, records },
      draw,
    ) => [head, `${records.slice(0, -1)}${draw.pick(["", "\r", " ", "\0"])}`],
  ),
  bad("no header", ({ records }) => {
    const [line, ...others] = records.split("\n");
    return [line!, others.join("\n")];
  }),
  bad("a header that isn't one", ({ records }, draw) => [
    draw.pick([
      "#0 1 2",
      "#0 1 2 3 4",
      "#0 -1 0 1",
      "#0 NaN NaN NaN",
      "#0 1e3 1 1",
      "#0  1 1 1",
      "#0 1 1 1 ",
      "#0 1 1 1\r",
      "#0\t1\t1\t1",
      " #0 1 1 1",
      "#1 victim b kmsg s 1 0 0 1",
      "#0 0x1 1 1",
      "#end",
      `#0 1 1 ${"9".repeat(21)}`,
      "#0 \xb2 1 1",
      "",
      "#",
      "\0",
      `#0 ${"1".repeat(100_000)} 1 1`,
    ]),
    records,
  ]),
  good("a header that lies", ({ records }, draw) => [
    `#0 ${
      draw.pick([
        "9 3 7",
        "0 0 0",
        "0 99999999999999999999 1",
        "18446744073709551615 5 5",
        "000 00 0",
        "9007199254740991 9007199254740991 1",
        "9007199254740993 1 1",
        "0 1000000 1000001",
        "5 5 99999",
      ])
    }`,
    records,
  ]),
  good("no records", () => ["#0 0 0 0", ""]),
  good("lines that are no records", (_frame, draw, upload) => {
    const nonsense = draw.bytes(draw.between(1, 500)).toString("latin1").replace(
      /\n[# ]|^[# ]/g,
      "x",
    );
    return ["#0 1 1 1", `6,1,1,-;${upload.marker}\n${nonsense.replace(/^[#]/gm, "x")}\n`];
  }),
  good("numbers beyond all measure in a record", ({ head }, draw, upload) => [
    head,
    `6,${draw.pick(["18446744073709551615", "-1", "NaN", "1e999", ""])},${"9".repeat(30)},` +
    `${draw.pick(["g", "s", "-", "p", "c"])},first=${
      "9".repeat(30)
    },last=?,count=-1;${upload.marker}\n`,
  ]),
  good("gaps and clocks that lie", ({ head }, draw, upload) => [
    head,
    `6,1,1,${
      draw.pick([
        "g,first=0,last=9007199254740991,count=9007199254740992,cause=evicted",
        "g,first=9,last=3,count=0,cause=victim",
        "s,wall_us=99999999999999999999,synced=2",
        "s,wall_us=-1,synced=1",
      ])
    };${upload.marker}\n`,
  ]),
  {
    weight: 0.05,
    ...good("a very long line", ({ head }, draw, upload) => {
      const length = draw.between(1, limits.uploadFrameTextBytesMax - 1_000);
      return [head, `6,1,1,-;${upload.marker}${"y".repeat(length)}\n`];
    }),
  },
  {
    weight: 0.2,
    ...good("thousands of continuation lines", ({ head }, draw, upload) => [
      head,
      `6,1,1,-;${upload.marker}\n${" K=V\n".repeat(draw.between(1, 10_000))}`,
    ]),
  },
];
