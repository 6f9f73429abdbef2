/** Servers with certificates of their own, those in between, and a proxy that counts: for tests of TLS. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { selfSignedCertificate } from "../shared/certificate.ts";

export interface Certified {
  cert: string;
  key: string;
  fingerprint: string;
}

export function newCertificate(...names: string[]): Certified {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const cert = selfSignedCertificate(privateKey, names, Date.now() - 60_000);
  return { cert, key, fingerprint: new X509Certificate(cert).fingerprint256 };
}

export const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

/** What others make certificates with: an authority, and certificates that it signed. */
export class Authority {
  constructor(readonly folder: string) {
    this.#openssl(
      "req",
      "-x509",
      "-nodes",
      ...this.#key("ca"),
      "-out",
      "ca.pem",
      "-subj",
      "/CN=ca",
    );
  }

  get file(): string {
    return join(this.folder, "ca.pem");
  }

  issue(name: string): Certified {
    const issuer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9"];
    writeFileSync(join(this.folder, "ext"), `basicConstraints=CA:FALSE\nsubjectAltName=${name}\n`);
    this.#openssl("req", "-nodes", ...this.#key("leaf"), "-out", "leaf.csr", "-subj", "/CN=leaf");
    const files = ["-in", "leaf.csr", "-extfile", "ext", "-out", "leaf.pem"];
    this.#openssl("x509", "-req", ...issuer, ...files);
    const [cert, key] = ["leaf.pem", "leaf.key"].map((file) =>
      readFileSync(join(this.folder, file), "utf8")
    ) as [string, string];
    return { cert, key, fingerprint: new X509Certificate(cert).fingerprint256 };
  }

  #key(name: string): string[] {
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", `${name}.key`];
  }

  #openssl(...args: string[]): void {
    const { status, stderr } = spawnSync("openssl", args, { cwd: this.folder, encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  }
}

/** A man in the middle: takes every connection, and keeps what comes after the handshake. */
export class Eavesdropper implements AsyncDisposable {
  connections = 0;
  heard = "";
  readonly #server;

  private constructor({ cert, key }: Certified) {
    this.#server = createTlsServer({ cert, key }, (socket) => {
      socket.on("data", (bytes) => {
        this.heard += bytes.toString("latin1");
        socket.destroy();
      });
      socket.on("error", () => {});
    });
    this.#server.on("connection", () => this.connections++);
  }

  static async listen(certified: Certified, port = 0): Promise<Eavesdropper> {
    const eavesdropper = new Eavesdropper(certified);
    await once(eavesdropper.#server.listen(port, "127.0.0.1"), "listening");
    return eavesdropper;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Passes connections on, to whom it says at the time, and counts them. */
export class TcpProxy implements AsyncDisposable {
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(public to: (connection: number) => number) {
    this.#server = createServer((client) => {
      const server = connect(this.to(++this.connections), "127.0.0.1");
      for (const [from, into] of [[client, server], [server, client]] as const) {
        this.#sockets.add(from);
        from.pipe(into);
        from.on("error", () => {});
        from.on("close", () => into.destroy());
      }
    });
  }

  static async listen(to: (connection: number) => number): Promise<TcpProxy> {
    const proxy = new TcpProxy(to);
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
