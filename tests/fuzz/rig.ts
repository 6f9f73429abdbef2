/** The receiver under test, and what shows whether it gave everything back. */
import { ProxyCertificates } from "../../receiver/proxy_certificate.ts";
import { TokenVerifier } from "../../shared/token.ts";
import { newReceiver } from "../receiver.ts";
import { audience, nowMs, proxySecret, type World } from "./senders.ts";
import type { Store } from "./store.ts";

const MiB = 1024 * 1024;
/**
 * So many slots that a machine which is busy with other things, on which commits take long, still has
 * enough of them. A batch fits the live bytes; a bomb in a bulk stream has to wait for room.
 */
const roomy = {
  liveStreams: 1_000_000,
  bulkStreams: 1_000_000,
  liveBytes: 256 * MiB,
  bulkBytes: 16 * MiB,
};
const crowded = { liveStreams: 8, bulkStreams: 2, liveBytes: 2 * MiB, bulkBytes: 2 * MiB };

export interface Rig {
  fetch: (request: Request) => Promise<Response>;
  /** What is still held, in words; undefined if all has been given back. */
  held: () => string | undefined;
  /** Resolves when no upload is open and everything is committed. */
  stop: () => Promise<void>;
}

/** The one place that knows how a receiver is put together. `tight`: too few slots and bytes for all. */
export function newRig(world: World, store: Store, tight: boolean): Rig {
  const allowed = (thumbprint: string) => world.allowed.get(thumbprint);
  const cacheMax = world.senders.length / 2;
  const tokens = new TokenVerifier({ audience, allowed, now: () => nowMs, cacheMax });
  const proxies = new ProxyCertificates({ addresses: [], secret: proxySecret, allowed, cacheMax });
  const { receiver, admission, commits } = newReceiver({
    sink: store.sink,
    allowed,
    identify: async (headers, peer) =>
      proxies.identify(headers, peer()) ?? await tokens.verify(headers.get("Authorization")),
    budget: tight ? crowded : roomy,
    // Nobody is to be slowed: what takes long here can't be told from what hangs.
    bulkBytesPerSec: 1024 * MiB,
    nowMs: () => nowMs,
    random: () => 0.5,
  });
  return {
    fetch: async (request) => await receiver.fetch(request),
    held: () => {
      const { live, bulk } = admission.bytes;
      const held = {
        "live streams": admission.open("live"),
        "bulk streams": admission.open("bulk"),
        "live bytes": live.permits - live.available,
        "bulk bytes": bulk.permits - bulk.available,
        waiting: live.waiting + bulk.waiting,
      };
      return Object.values(held).some((n) => n !== 0) ? JSON.stringify(held) : undefined;
    },
    async stop() {
      await admission.stop();
      await commits.close();
    },
  };
}
