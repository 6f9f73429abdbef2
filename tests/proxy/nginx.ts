/** Starts the real nginx with deploy/proxy/nginx.conf, its ports and paths changed to the test's own. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Program, root } from "../programs.ts";
import { adapted, type Certified, freePort, secret, untilListening } from "./rig.ts";

export interface Proxy {
  port: number;
  stop: () => Promise<unknown>;
}

/** @param own the proxy's certificate */
export async function startNginx(
  folder: string,
  own: Certified,
  receiverPort: number,
): Promise<Proxy> {
  const port = await freePort();
  const [conf, secretFile] = [join(folder, "nginx.conf"), join(folder, "nginx_secret.conf")];
  writeFileSync(secretFile, `proxy_set_header Logmill-Proxy-Secret "${secret}";\n`);
  const text = adapted(join(root, "deploy/proxy/nginx.conf"), {
    "listen 443": `listen 127.0.0.1:${port}`,
    "127.0.0.1:4750": `127.0.0.1:${receiverPort}`,
    "/etc/logmill/proxy.crt": own.cert,
    "/etc/logmill/proxy.key": own.key,
    "/etc/logmill/nginx_secret.conf": secretFile,
    "/run/nginx.pid": join(folder, "nginx.pid"),
    "/var/log/nginx/error.log": "stderr",
    "worker_rlimit_nofile 65536;": "",
    "worker_connections 32768;": "worker_connections 256;",
    // Else it makes folders in /var/lib at its start.
    "http {": `http { ${
      ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) =>
        `${kind}_temp_path ${join(folder, kind)};`
      ).join(" ")
    }`,
  });
  writeFileSync(conf, text);
  // One process: killing it leaves no workers behind.
  const directives = "daemon off; master_process off;";
  const args = ["nginx", "-p", folder, "-e", "stderr", "-c", conf, "-g", directives];
  const program = new Program("nginx", "env", ["PATH=/usr/sbin:/usr/local/sbin:/usr/bin", ...args]);
  await untilListening(port, () => program.running).catch((error) => {
    throw new Error(`${error.message}; nginx says: ${program.output}`);
  });
  return { port, stop: () => program.stop() };
}
