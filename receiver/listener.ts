/**
 * A server that can be replaced by one with other options (a renewed certificate) on the same port, while
 * the streams that are open go on. Bun's `server.reload` takes a `tls` and ignores it; but a server that is
 * stopped only stops listening, and the next may listen at once.
 *
 * Connections that are in the middle of their handshake at that moment are reset: their agents come back.
 */
export interface Server {
  readonly port: number | undefined;
  readonly url: URL;
  /** Stops listening at once. Resolves when the last open request has been answered. */
  stop(): Promise<void>;
}

export class Listener<Options> {
  #server: Server;
  readonly #stopped = new Set<Promise<void>>();

  /**
   * @param serve listens on this port, or on the one that was asked for in the first place
   */
  constructor(
    private readonly serve: (options: Options, port?: number) => Server,
    private options: Options,
  ) {
    this.#server = serve(options);
  }

  get url(): URL {
    return this.#server.url;
  }

  /** For new connections. Throws what `serve` throws, and listens as before. */
  replace(options: Options): void {
    const { port } = this.#server;
    this.#retire();
    try {
      this.#server = this.serve(options, port);
      this.options = options;
    } catch (error) {
      this.#server = this.serve(this.options, port);
      throw error;
    }
  }

  /** Resolves when all that is open, on this server and on those before it, has been answered. */
  async stop(): Promise<void> {
    this.#retire();
    await Promise.all(this.#stopped);
  }

  #retire(): void {
    const stopped = this.#server.stop();
    this.#stopped.add(stopped);
    void stopped.finally(() => this.#stopped.delete(stopped));
  }
}
