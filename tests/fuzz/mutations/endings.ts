/** How an upload ends: its connection breaks at any place, it never ends, or nobody waits for the answer. */
import { type Mutation } from "./mutation.ts";

export const endings: Mutation[] = [
  {
    name: "end: the connection breaks",
    weight: 3,
    apply(upload, draw) {
      const whole = upload.whole();
      const sent = draw.between(0, whole.length + 1);
      let at = 0;
      let k = 0;
      for (; upload.kind === "frames" && k < upload.frames.length; k++) {
        at += upload.frames[k]!.bytes.length;
        if (at > sent) break;
      }
      upload.spoil(k, "cut_off");
      if (upload.kind !== "frames") upload.keptExactly = false;
      upload.body = whole.slice(0, sent);
      upload.ending = "broken";
    },
  },
  {
    name: "end: it never comes",
    apply(upload) {
      upload.spoil(upload.frames.length, "cut_off");
      if (upload.kind !== "frames") upload.keptExactly = false;
      upload.ending = "never";
    },
  },
  {
    name: "end: nobody waits for the answer",
    apply(upload) {
      upload.leaves = true;
    },
  },
];
