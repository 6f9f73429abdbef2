/** A folder in; an nginx that stores what is PUT to it there, by its dav module, and never syncs. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Contender, start, stop } from "./wrk_contender.ts";

/** Debian's place: a user's PATH may not have it. */
export const nginxPath = "/usr/sbin/nginx";

/**
 * One worker for each of two cores. Bodies go to a file of the same file system, which is renamed to
 * its place: a rename costs less than the copy that it would be elsewhere.
 */
function config(folder: string, port: number): string {
  return `
daemon off;
user root;
worker_processes 2;
worker_rlimit_nofile 8192;
pid ${folder}/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 1m;
  client_body_temp_path ${folder}/temp;
  proxy_temp_path ${folder}/temp;
  fastcgi_temp_path ${folder}/temp;
  uwsgi_temp_path ${folder}/temp;
  scgi_temp_path ${folder}/temp;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${folder}/files;
    location / {
      dav_methods PUT;
      create_full_put_path on;
    }
  }
}
`;
}

export async function startNginx(folder: string): Promise<Contender> {
  const port = await freePort();
  mkdirSync(join(folder, "files"), { recursive: true });
  const path = join(folder, "nginx.conf");
  writeFileSync(path, config(folder, port));
  const args = ["-e", join(folder, "error.log"), "-p", folder, "-c", path];
  execFileSync(nginxPath, ["-t", ...args], { stdio: "pipe" });
  const child = start(nginxPath, args);
  const pids = [child.pid!, ...await workersOf(child.pid!)];
  return {
    port,
    pids,
    stop: () => stop(child, "SIGQUIT"),
    stored: () => Promise.resolve(countFiles(join(folder, "files"))),
  };
}

export function nginxVersion(): string | undefined {
  if (!existsSync(nginxPath)) return undefined;
  return execFileSync("sh", ["-c", `${nginxPath} -v 2>&1`], { encoding: "utf8" }).trim();
}

/** Resolves when both of them run. */
async function workersOf(pid: number): Promise<number[]> {
  for (let tries = 0; tries < 100; tries++) {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    if (children.length === 2) return children.map(Number);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("Cannot measure nginx because it must have 2 workers: it hasn't after 5 s");
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function countFiles(folder: string): number {
  return readdirSync(folder, { withFileTypes: true })
    .reduce((n, entry) => n + (entry.isDirectory() ? countFiles(join(folder, entry.name)) : 1), 0);
}
