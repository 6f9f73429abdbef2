/** Starts the real haproxy with deploy/proxy/haproxy.cfg, its ports and paths changed to the test's own. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Program, root } from "../programs.ts";
import type { Proxy } from "./nginx.ts";
import { adapted, type Certified, freePort, secret, untilListening } from "./rig.ts";

/** @param own the proxy's certificate */
export async function startHaproxy(
  folder: string,
  own: Certified,
  receiverPort: number,
): Promise<Proxy> {
  const port = await freePort();
  const [cfg, pem] = [join(folder, "haproxy.cfg"), join(folder, "proxy.pem")];
  writeFileSync(pem, readFileSync(own.cert, "utf8") + readFileSync(own.key, "utf8"));
  const text = adapted(join(root, "deploy/proxy/haproxy.cfg"), {
    "bind :443": `bind 127.0.0.1:${port}`,
    "127.0.0.1:4750": `127.0.0.1:${receiverPort}`,
    "/etc/logmill/proxy.pem": pem,
    "maxconn 20000": "maxconn 100",
  });
  writeFileSync(cfg, text);
  const words = ["PATH=/usr/sbin:/usr/local/sbin:/usr/bin", `LOGMILL_PROXY_SECRET=${secret}`];
  const program = new Program("haproxy", "env", [...words, "haproxy", "-db", "-f", cfg]);
  await untilListening(port, () => program.running).catch((error) => {
    throw new Error(`${error.message}; haproxy says: ${program.output}`);
  });
  // SIGTERM is its hard stop; it would wait for idle connections at SIGUSR1.
  return { port, stop: () => program.stop() };
}
