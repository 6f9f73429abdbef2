/** An identity's folder in, a `fetch` out that presents its certificate to whoever asks for one in TLS. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export function presenting(state: string, plain: typeof fetch): typeof fetch {
  const [key, cert] = ["device.key", "device.crt"].map((file) =>
    readFileSync(join(state, file), "utf8")
  );
  const fetchWith = (input: string | URL | Request, init?: RequestInit & { tls?: object }) =>
    plain(input, { ...init, tls: { ...init?.tls, key, cert } } as RequestInit);
  return fetchWith as typeof fetch;
}
