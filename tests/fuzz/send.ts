/** A case to a receiver, as its server would hand it over; what came back, in a form to be judged. */
import { Buffer } from "node:buffer";
import { parseAck } from "../../shared/acks.ts";
import type { Case } from "./cases.ts";

export interface Answer {
  status: number;
  /** "ok", or the code of the refusal; what isn't of the right form is told as it is. */
  outcome: string;
  acked: number | undefined;
  retryAfter: string | null;
}

/** What a server says of a connection that broke. */
const broken = () => new DOMException("The connection was closed.", "AbortError");

/** A body that the harness can cut, for one that never ends. */
class Body {
  #cut!: () => void;
  readonly #cutOff = new Promise<void>((resolve) => this.#cut = resolve);
  readonly stream: ReadableStream<Uint8Array>;

  constructor({ upload, chunks }: Case) {
    let at = 0;
    const pull = async (out: ReadableStreamDefaultController<Uint8Array>) => {
      if (at < chunks.length) return out.enqueue(chunks[at++]!);
      if (upload.ending === "close") return out.close();
      if (upload.ending === "never") await this.#cutOff;
      out.error(broken());
    };
    this.stream = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
  }

  cut = () => this.#cut();
}

/** `cut` ends a body that wouldn't end by itself. */
export function send(
  one: Case,
  fetch: (request: Request) => Promise<Response>,
): { answer: Promise<Answer | undefined>; cut: () => void } {
  const { upload } = one;
  const body = new Body(one);
  const init = {
    method: upload.method,
    headers: upload.headers,
    body: body.stream,
    duplex: "half",
  };
  const request = new Request(`http://receiver${upload.path}`, init as RequestInit);
  const answer = fetch(request).then(async (response) => {
    if (!upload.leaves) return await read(response);
    await response.body?.cancel();
    return undefined;
  });
  return { answer, cut: body.cut };
}

async function read(response: Response): Promise<Answer> {
  const text = Buffer.from(await response.arrayBuffer()).toString();
  const { status } = response;
  const retryAfter = response.headers.get("Retry-After");
  const live = response.headers.get("Content-Type") === "application/x-ndjson";
  return { status, retryAfter, ...(live ? lastLine(text) : wholeAnswer(status, text)) };
}

function lastLine(text: string): Pick<Answer, "outcome" | "acked"> {
  const lines = text.split("\n").slice(0, -1).map(parseAck);
  const last = lines.at(-1);
  const rising = lines.every((line, i) => line && line.acked >= (lines[i - 1]?.acked ?? 0));
  const ended = lines.every((line, i) =>
    !!(line?.done || line?.error) === (i === lines.length - 1)
  );
  if (!last || !rising || !ended) return { outcome: `no ack lines: ${text}`, acked: undefined };
  return { outcome: last.error ?? "ok", acked: last.acked };
}

function wholeAnswer(status: number, text: string): Pick<Answer, "outcome" | "acked"> {
  if (status === 404) return { outcome: "not_found", acked: undefined };
  try {
    const { error, acked } = JSON.parse(text) as { error?: string; acked?: number };
    const small = text.length <= 2_000;
    return { outcome: small ? error ?? "ok" : `an answer of ${text.length} bytes`, acked };
  } catch {
    return { outcome: `no JSON: ${text.slice(0, 100)}`, acked: undefined };
  }
}
