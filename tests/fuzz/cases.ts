/**
 * A seed and a number in, one case out: an upload with its mutations, and how its body is cut into
 * chunks. Each step has a draw of its own, so that a case can be made simpler without becoming another.
 */
import { Draw } from "./draw.ts";
import { endings } from "./mutations/endings.ts";
import { frames } from "./mutations/frames.ts";
import { headers } from "./mutations/headers.ts";
import type { Mutation } from "./mutations/mutation.ts";
import { proxies } from "./mutations/proxies.ts";
import { raws } from "./mutations/raw.ts";
import { texts } from "./mutations/texts.ts";
import { tokens } from "./mutations/tokens.ts";
import type { World } from "./senders.ts";
import { drawUpload, type Upload } from "./upload.ts";

export interface Case {
  upload: Upload;
  chunks: Uint8Array[];
}

/** How a case differs from the one that is drawn: what the shrinking takes away, and what is asked for. */
export interface Changes {
  without?: readonly string[];
  oneChunk?: boolean;
  /** This mutation alone, wherever it fits. */
  mutation?: string;
}

const body = [...frames, ...texts, ...raws];
/** At most one mutation of each comes into an upload. */
const areas: Array<{ list: Mutation[]; weight: number }> = [
  { list: [...tokens, ...proxies], weight: 2 },
  { list: headers, weight: 3 },
  { list: body, weight: 10 },
  { list: endings, weight: 2 },
];

export const mutationNames = areas.flatMap(({ list }) => list.map(({ name }) => name));

export function drawCase(
  seed: number,
  number: number,
  world: World,
  changes: Changes = {},
): Case {
  const upload = drawUpload(number, world, new Draw(seed, number, "upload"));
  const picked = changes.mutation === undefined
    ? pickMutations(upload, new Draw(seed, number, "mutations"))
    : fitting(upload, areas.flatMap(({ list }) => list)).filter(({ name }) =>
      name === changes.mutation
    );
  for (const { name, apply } of picked) {
    if (changes.without?.includes(name)) continue;
    upload.mutations.push(name);
    apply(upload, new Draw(seed, number, name));
  }
  // Each alone says exactly what is stored; together they only say what may be answered.
  if (upload.mutations.length > 1 && !(upload.outcomes.size === 1 && upload.outcomes.has("ok"))) {
    upload.loosen();
  }
  const whole = upload.whole();
  const draw = new Draw(seed, number, "chunks");
  return { upload, chunks: changes.oneChunk ? [whole] : cut(whole, draw) };
}

/** None, one (mostly), or several of different areas. */
function pickMutations(upload: Upload, draw: Draw): Mutation[] {
  if (draw.chance(0.05)) return [];
  const several = draw.chance(0.15);
  const from = several ? areas.filter(() => draw.chance(0.6)) : [draw.weighted(areas)];
  const picked = from.map(({ list }) => draw.weighted(fitting(upload, list)));
  return picked.some(({ alone }) => alone) ? picked.filter(({ alone }) => alone) : picked;
}

function fitting(upload: Upload, list: Mutation[]): Mutation[] {
  return list.filter(({ fits }) => !fits || fits(upload));
}

/** A body in chunks of any sizes, empty ones among them. */
function cut(whole: Uint8Array, draw: Draw): Uint8Array[] {
  const way = draw.pick(["one", "bytes", "few", "small", "even"]);
  if (way === "one") return [whole];
  if (way === "bytes" && whole.length < 600) {
    return Array.from(whole, (byte) => Uint8Array.of(byte));
  }
  const most = way === "few" ? whole.length : way === "even" ? 65_536 : 1_000;
  const least = Math.ceil(whole.length / 1_000);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < whole.length;) {
    if (draw.chance(0.1)) chunks.push(new Uint8Array(0));
    const length = way === "even" ? most : Math.max(least, draw.between(0, most + 1));
    chunks.push(whole.subarray(at, at + length));
    at += length;
  }
  return chunks;
}
