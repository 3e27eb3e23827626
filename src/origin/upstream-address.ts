/** Where an upstream is, and which addresses are its own. */
export class UpstreamAddress {
  readonly #base: string;
  readonly #origin: string;

  /** @param url of the upstream, as configured: `/v2/` is added to it */
  constructor(url: string) {
    this.#base = `${url.replace(/\/+$/, '')}/v2/`;
    this.#origin = new URL(url).origin;
  }

  /** The address of what stands behind `/v2/`. */
  of(path: string): URL {
    return new URL(this.#base + path);
  }

  /** Whether it is the upstream that answers there: only there its credentials are sent. */
  isOwn(url: URL): boolean {
    return url.origin === this.#origin;
  }
}
