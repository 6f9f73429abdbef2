/** What an upload says of itself, and where it goes: odd, missing, doubled, huge, forged. */
import type { Draw } from "../draw.ts";
import type { Upload } from "../upload.ts";
import { framed, type Mutation } from "./mutation.ts";
import { certificateOf } from "./proxies.ts";

const names = ["Logmill-Boot", "Logmill-Source", "Logmill-Stream"];

/** What can stand in a header at all: tabs, printable ASCII, bytes above it. */
function oddText(draw: Draw, length: number): string {
  return draw.bytes(length).toString("latin1").replace(/[^\t\x20-\x7e\x80-\xff]/g, "/");
}

function oddName(draw: Draw): string {
  return draw.pick([
    "",
    ".",
    "..",
    "...",
    "../..",
    "a/b",
    "/etc/passwd",
    "a b",
    "a\tb",
    "-",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "%2e%2e",
    "a\\b",
    "\xe4",
    "a\x80",
    "#1",
    "#end",
    "a,b",
    "a:b@c+d",
    "x".repeat(128),
    "x".repeat(129),
    "x".repeat(100_000),
    "NaN",
    "1e999",
    "-0",
    "null",
    "a=b",
    oddText(draw, draw.between(0, 200)),
  ]);
}

/** The rule of names, said once more: what block.ts takes. */
const isRight = (value: string) =>
  /^[A-Za-z0-9._:@+-]{1,128}$/.test(value) && !/^\.\.?$/.test(value);

/** Expects what follows from the names as they stand now. */
function expectByNames(upload: Upload): void {
  const needed = framed(upload) ? names : ["Logmill-Boot"];
  const valueOf = (name: string) => {
    const values = upload.headers.filter(([key]) => key === name).map(([, value]) => value);
    if (values.length === 0) return framed(upload) ? "" : "-";
    return values.map((value) => value.replace(/^[\t ]+|[\t ]+$/g, "")).join(", ");
  };
  if (!needed.every((name) => isRight(valueOf(name)))) upload.refuse("bad_header");
}

function header(name: string, change: (upload: Upload, draw: Draw) => void): Mutation {
  return { name: `header: ${name}`, apply: change };
}

/** What other proxies say of a client, and others of a sender's name (ours: proxies.ts). */
const identityHeaders = [
  "Logmill-Device",
  "X-Device",
  "X-Client-Cert",
  "X-SSL-Client-Cert",
  "SSL-Client-Cert",
  "X-Forwarded-Client-Cert",
  "X-SSL-CERT",
  "X-Forwarded-For",
  "Forwarded",
  "X-Real-IP",
  "X-Client-DN",
  "X-Forwarded-Tls-Client-Cert",
];

export const headers: Mutation[] = [
  {
    weight: 3,
    ...header("an odd name", (upload, draw) => {
      upload.set(draw.pick(names), oddName(draw));
      expectByNames(upload);
    }),
  },
  header("a name missing", (upload, draw) => {
    upload.set(draw.pick(names), undefined);
    expectByNames(upload);
  }),
  header("a name twice", (upload, draw) => {
    upload.headers.push([draw.pick(names), draw.pick(["a", "", "b"])]);
    expectByNames(upload);
  }),
  header("an odd mode", (upload, draw) => {
    upload.set(
      "Logmill-Mode",
      draw.pick(["", "BULK", "bulk, live", "live ", "x", "0", oddText(draw, 30)]),
    );
  }),
  header("an odd Ack", (upload, draw) => {
    upload.set("Logmill-Ack", draw.pick(["", "LIVE", "live, end", "x", "end", oddText(draw, 30)]));
  }),
  header("a thousand of them", (upload) => {
    for (let i = 0; i < 1_000; i++) upload.headers.push([`X-${i}`, `${i}`]);
  }),
  header("a huge one", (upload, draw) => {
    upload.headers.push(["X-Huge", oddText(draw, 10).repeat(10_000)]);
  }),
  header("one that says nothing here", (upload, draw) => {
    const other: Array<[string, string]> = [
      ["Content-Length", "-1"],
      ["Content-Length", "99999999999999999999"],
      ["Transfer-Encoding", "chunked, gzip"],
      ["Content-Type", "multipart/form-data; boundary=x"],
      ["Content-Type", oddText(draw, 50)],
      ["Expect", "100-continue"],
      ["Connection", "upgrade"],
      ["Upgrade", "websocket"],
      ["Range", "bytes=0-1"],
      ["If-None-Match", "*"],
      ["Trailer", "X"],
      ["X-HTTP-Method-Override", "DELETE"],
      ["Cookie", oddText(draw, 50)],
      ["Host", "victim"],
    ];
    upload.headers.push(draw.pick(other));
  }),
  {
    weight: 2,
    ...header("somebody else's name or certificate", (upload, draw) => {
      const { victim } = upload.world;
      const value = draw.pick([
        "victim",
        victim.identity.thumbprint,
        encodeURIComponent(certificateOf(victim)),
        "127.0.0.1",
      ]);
      upload.headers.push([draw.pick(identityHeaders), value]);
    }),
  },
  header("another method", (upload, draw) => {
    upload.method = draw.pick(["DELETE", "PATCH", "OPTIONS", "PROPFIND", "LOGS", "post"]);
    // The standard writes `post` in capitals, and only the well-known ones.
    if (upload.method !== "post") upload.refuse("not_found");
  }),
  header("another path", (upload, draw) => {
    upload.path = draw.pick([
      "/",
      "/v1",
      "/v1/logs/",
      "/v1/logs/victim",
      "//v1/logs",
      "/V1/LOGS",
      "/v1/logs%2f..",
      "/v1/%6cogs%00",
      "/v2/logs",
      "/v1/logs;x",
      "/../../etc/passwd",
      `/${"a/".repeat(5_000)}`,
    ]);
    upload.refuse("not_found");
  }),
  header("the path said otherwise", (upload, draw) => {
    upload.path = draw.pick([
      "/v1/logs?x=1",
      "/v1/logs?device=victim",
      "/v1/logs#x",
      "/v1/../v1/logs",
      "/v1/./logs",
      `/v1/logs?${"a=b&".repeat(5_000)}`,
    ]);
  }),
];
