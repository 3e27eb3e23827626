/** Lists of tags and referrers, passed on from the upstream: a node keeps none itself. */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';

/** Upstream registries, as far as lists go; `OriginRegistry` is the real one. */
export interface ListOrigin {
  passthrough(
    repository: Repository,
    list: { readonly kind: 'tags' } | { readonly kind: 'referrers'; readonly digest: Digest },
    search: string,
    options: { signal?: AbortSignal | undefined },
  ): Promise<
    | {
        readonly status: number;
        readonly contentType: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly bytes: Buffer;
        readonly nextSearch: string | undefined;
      }
    | undefined
  >;
}

/** A page for a client. A `link` among the headers holds the query of the next page and no path. */
export interface PassedList {
  readonly status: number;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

interface ListContext {
  readonly repository: Repository;
  readonly signal: AbortSignal;
}

export class OriginListService {
  readonly #origin: ListOrigin;

  constructor(deps: { readonly origin: ListOrigin }) {
    this.#origin = deps.origin;
  }

  /** The tags of a repository; `undefined` when the upstream does not know it. @throws {DockyardError} of ORIGIN_ERRORS */
  async tags(search: string, context: ListContext): Promise<PassedList | undefined> {
    return await this.#pass({ kind: 'tags' }, search, context);
  }

  /** What refers to a manifest; `undefined` when the upstream has no such list. @throws {DockyardError} of ORIGIN_ERRORS */
  async referrers(digest: Digest, search: string, context: ListContext): Promise<PassedList | undefined> {
    return await this.#pass({ kind: 'referrers', digest }, search, context);
  }

  async #pass(
    list: { readonly kind: 'tags' } | { readonly kind: 'referrers'; readonly digest: Digest },
    search: string,
    context: ListContext,
  ): Promise<PassedList | undefined> {
    const page = await this.#origin.passthrough(context.repository, list, search, { signal: context.signal });
    if (page === undefined) return undefined;
    const { status, contentType, bytes, nextSearch } = page;
    const headers = nextSearch === undefined ? page.headers : { ...page.headers, link: `<?${nextSearch}>; rel="next"` };
    return { status, contentType, headers, bytes };
  }
}
