/**
 * Looks at the certificate's files now and then; a new certificate goes to whoever serves with it. Who
 * renews a certificate (certbot and the like) tells nobody.
 */
import { limits } from "../shared/limits.ts";
import type { Listener } from "./listener.ts";
import type { Say } from "./say.ts";
import { readTlsOf, type Tls, type TlsGiven } from "./tls.ts";

export interface TlsReloadOptions {
  /** Reads the files; throws while they aren't right. */
  read: () => Tls;
  /** Serves with it from now on. */
  install: (tls: Tls) => void;
  say: (text: string) => void;
}

/** Says which certificate it is, now and whenever it is another one, for as long as the process runs. */
export function watchTls(
  tls: Tls,
  given: TlsGiven,
  listener: Pick<Listener<Tls | undefined>, "replace">,
  say: Say,
): void {
  const tell = (text: string) => say("tls", text);
  announce("certificate", tls, tell);
  const install = (renewed: Tls) => listener.replace(renewed);
  // Only reads: a certificate that was removed must not be replaced by one that nobody has pinned.
  const reload = new TlsReload(tls, { read: () => readTlsOf(given), install, say: tell });
  setInterval(() => reload.look(), limits.tlsLookMs).unref();
}

export class TlsReload {
  #failures = 0;

  constructor(private current: Tls, private readonly options: TlsReloadOptions) {}

  look(): void {
    const { read, install, say } = this.options;
    try {
      const tls = read();
      if (tls.cert !== this.current.cert || tls.key !== this.current.key) {
        install(tls);
        this.current = tls;
        announce("new certificate", tls, say);
      }
      if (this.#failures > 1) say("the certificate's files are right again");
      this.#failures = 0;
    } catch (error) {
      // Once is nothing: the files of a pair are changed one after the other.
      if (++this.#failures === 2) {
        say(`${(error as Error).message}. It goes on with the certificate that it has.`);
      }
    }
  }
}

function announce(what: string, { fingerprint, warnings }: Tls, say: (text: string) => void): void {
  say(`${what}: sha256:${fingerprint}`);
  for (const warning of warnings) say(warning);
}
