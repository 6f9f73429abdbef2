/**
 * The door: who may come in. A request's headers go in, the device that sent it comes out, by its token
 * or by a certificate that a proxy has seen; who knocks in vain is noted. The allow-list is looked at
 * twice a second.
 */
import { AllowList } from "../shared/allowlist.ts";
import { listPlace, type Places } from "../shared/allowlist_place.ts";
import { limits } from "../shared/limits.ts";
import { TokenVerifier } from "../shared/token.ts";
import type { Admission, Sender } from "./admission.ts";
import { Knocks } from "./knocks.ts";
import { ProxyCertificates, readProxySecret } from "./proxy_certificate.ts";
import type { Say } from "./say.ts";

export interface DoorOptions {
  places: Places;
  /** The allow-list's file, if it isn't `devices` in the storage. */
  allow: string | undefined;
  /** This receiver's name in the storage. */
  name: string;
  audience: string;
  "trust-proxy": string[];
  "trust-proxy-secret": string | undefined;
  say: Say;
}

export class Door {
  readonly #tokens: TokenVerifier;
  readonly #proxies: ProxyCertificates;
  #problem: string | undefined;
  /** Says who sends. Throws `AuthError`. */
  readonly identify: (headers: Headers, peer: () => string | undefined) => Promise<Sender>;

  private constructor(
    private readonly list: AllowList,
    private readonly knocks: Knocks,
    private readonly options: DoorOptions,
  ) {
    const allowed = (thumbprint: string) => list.get(thumbprint);
    const secret = options["trust-proxy-secret"];
    this.#tokens = new TokenVerifier({
      audience: options.audience,
      allowed,
      now: Date.now,
      cacheMax: limits.tokensCachedMax,
    });
    this.#proxies = new ProxyCertificates({
      addresses: options["trust-proxy"],
      secret: secret === undefined ? undefined : readProxySecret(secret),
      allowed,
    });
    this.identify = knocks.noting(async (headers, peer) =>
      (headers.has("Client-Cert") ? this.#proxies.identify(headers, peer()) : undefined) ??
        await this.#tokens.verify(headers.get("Authorization"))
    );
  }

  /** Throws `UsageError` for options that can't be used. */
  static async open(options: DoorOptions): Promise<Door> {
    const { places, allow, name } = options;
    const list = await AllowList.open(listPlace(places, allow));
    const knocks = await Knocks.open({ place: places.at(`knocked/${name}`), nowMs: Date.now });
    return new Door(list, knocks, options);
  }

  /** Devices that are let in. */
  get size(): number {
    return this.list.size;
  }

  /** Takes up changes of the list from now on; those who are shut out are cut off. */
  watch(admission: Admission): void {
    setInterval(() => void this.#look(admission), limits.allowListLookMs);
  }

  /** Saves who knocked. */
  close(): Promise<void> {
    return this.knocks.save("end");
  }

  async #look(admission: Admission): Promise<void> {
    const { list, knocks } = this;
    const allowed = (thumbprint: string) => list.has(thumbprint);
    if (await list.reload()) {
      admission.cutRevoked(allowed);
      knocks.admitted(allowed);
    }
    if (list.problem !== this.#problem) {
      this.options.say("allow_list", list.problem ?? "the allow-list is right again");
    }
    this.#problem = list.problem;
    await knocks.save();
  }
}
