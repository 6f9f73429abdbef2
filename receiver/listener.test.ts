import { expect, test } from "bun:test";
import { type Certified, newCertificate } from "../tests/tls_servers.ts";
import { Listener, type Server } from "./listener.ts";

/** Sends back what comes, as it comes. */
const echo = ({ cert, key }: Certified, port = 0) =>
  Bun.serve({
    port,
    hostname: "127.0.0.1",
    tls: { cert, key },
    idleTimeout: 1,
    fetch(request, server) {
      server.timeout(request, 60);
      return new Response(request.body);
    },
  });

/** A POST that stays open. */
async function openStream(url: URL, ca: string) {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const init = { method: "POST", body: readable, duplex: "half", tls: { ca } };
  const writer = writable.getWriter();
  void writer.write(new TextEncoder().encode("hello"));
  const reader = (await fetch(url, init as RequestInit)).body!.getReader();
  const next = async () => new TextDecoder().decode((await reader.read()).value);
  expect(await next()).toBe("hello");
  const say = async (text: string) => {
    void writer.write(new TextEncoder().encode(text));
    return await next();
  };
  return { say, end: () => writer.close() };
}

const answers = (url: URL, { cert }: Certified) =>
  fetch(url, { method: "POST", body: "x", tls: { ca: cert }, keepalive: false })
    .then((response) => response.text(), ({ code }) => code);

test("a listener with a new certificate shows it to who comes, and keeps the streams that are open", async () => {
  const [old, renewed] = [newCertificate("127.0.0.1"), newCertificate("127.0.0.1")];
  const listener = new Listener(echo, old);
  const { url } = listener;
  expect(await answers(url, old)).toBe("x");
  const stream = await openStream(url, old.cert);
  listener.replace(renewed);
  expect(listener.url.href).toBe(url.href);
  expect(await answers(url, renewed)).toBe("x");
  expect(await answers(url, old)).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
  expect(await stream.say("still here")).toBe("still here");
  const young = await openStream(url, renewed.cert);
  const stopped = listener.stop();
  expect(await stream.say("and here")).toBe("and here");
  expect(await answers(url, renewed)).not.toBe("x");
  // It waits for both: those of the server that was replaced, too.
  await young.end();
  expect(await Promise.race([stopped.then(() => "stopped"), Bun.sleep(100)])).toBeUndefined();
  expect(await stream.say("to the end")).toBe("to the end");
  await stream.end();
  await stopped;
});

test("a listener that can't take the new options goes on with those it has", () => {
  const served: Array<[string, number | undefined]> = [];
  const serve = (options: string, port?: number): Server => {
    served.push([options, port]);
    if (options === "bad") throw new Error("Cannot listen");
    return { port: 4750, url: new URL("https://localhost:4750"), stop: () => Promise.resolve() };
  };
  const listener = new Listener<string>(serve, "good");
  expect(() => listener.replace("bad")).toThrow("Cannot listen");
  listener.replace("better");
  expect(() => listener.replace("bad")).toThrow("Cannot listen");
  expect(served).toEqual([
    ["good", undefined],
    ["bad", 4750],
    ["good", 4750],
    ["better", 4750],
    ["bad", 4750],
    ["better", 4750],
  ]);
});
