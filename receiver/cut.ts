/**
 * The reason why a stream has to end goes in, once; who waits for it is told. An AbortController and its
 * listener are a tenth of what a short upload costs: there is one only where its signal is wanted.
 */
export class Cut {
  #reason: { reason: unknown } | undefined;
  #controller: AbortController | undefined;
  #tell = (_reason: unknown) => {};

  /** The first reason counts. */
  abort(reason: unknown): void {
    if (this.#reason) return;
    this.#reason = { reason };
    this.#controller?.abort(reason);
    this.#tell(reason);
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason.reason);
    }
    return this.#controller.signal;
  }

  /** What `work` comes to, or the reason thrown, whichever is first. For one at a time. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#reason) return reject(this.#reason.reason);
      this.#tell = reject;
      work.then(resolve, reject);
    });
  }
}
