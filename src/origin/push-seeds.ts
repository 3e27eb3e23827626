/**
 * Which of several seeds that keep the same is given a push: the first that answers. What belongs together goes to one of them,
 * since the others hear of it a moment later: an upload stays where it was begun, by its location, and the pushes to a repository stay
 * with a seed as long as they come one after the other.
 */
import type { RepositoryName } from '../oci/name.ts';
import { isDockyardError } from '../oci/error.ts';
import type { OriginRegistry } from './origin-registry.ts';
import type { PassedAnswer, PassedRequest } from './push-pass.ts';

export interface PushSeedsDeps {
  readonly origin: Pick<OriginRegistry, 'pass' | 'isReachable'>;
  readonly clock: { nowMs(): number };
}

/** Names the seed in the location of an upload. */
const SEED_PARAMETER = '_seed';
/** Between the parts of one push no client lets more pass. */
const KEPT_MS = 300_000;
/** Repositories whose seed is remembered; of others it is the first that answers. */
const MAX_KEPT = 10_000;
/** What is answered in place of a registry that is about to start or to stop. */
const ABSENT_STATUSES: ReadonlySet<number> = new Set([502, 503, 504]);

/** One for each node. */
export class PushSeeds {
  readonly #deps: PushSeedsDeps;
  readonly #seeds: readonly string[];
  readonly #kept = new Map<RepositoryName, { readonly seed: string; readonly atMs: number }>();

  /** @param seeds names of upstreams, the preferred first */
  constructor(deps: PushSeedsDeps, seeds: readonly string[]) {
    this.#deps = deps;
    this.#seeds = seeds;
  }

  /** Passes a request on. @throws {DockyardError} as `OriginRegistry.pass`; ERR_ORIGIN_UNAVAILABLE when no seed answers */
  async pass(name: RepositoryName, request: PassedRequest, options: { signal: AbortSignal }): Promise<PassedAnswer> {
    const { rest, seed } = takeSeed(request.rest);
    const passed = { ...request, rest };
    if (seed !== undefined) {
      if (!this.#seeds.includes(seed)) return uploadUnknown();
      this.#keep(name, seed);
      return this.#named(await this.#deps.origin.pass({ upstream: seed, name }, passed, options), rest, seed);
    }
    const order = this.#order(name);
    for (const [index, candidate] of order.entries()) {
      const isLast = index === order.length - 1;
      const answer = await this.#try(candidate, name, passed, { ...options, isLast });
      if (answer === undefined) continue;
      if (answer.status < 500) this.#keep(name, candidate);
      return this.#named(answer, rest, candidate);
    }
    throw new TypeError('a node passes pushes on to no seed');
  }

  /** @returns undefined when the next may be asked instead */
  async #try(
    seed: string,
    name: RepositoryName,
    request: PassedRequest,
    { signal, isLast }: { readonly signal: AbortSignal; readonly isLast: boolean },
  ): Promise<PassedAnswer | undefined> {
    const body = request.body === undefined ? undefined : new UntouchedBody(request.body);
    try {
      const passed = body === undefined ? request : { ...request, body };
      const answer = await this.#deps.origin.pass({ upstream: seed, name }, passed, { signal });
      return isLast || body?.isTouched === true || !ABSENT_STATUSES.has(answer.status) ? answer : undefined;
    } catch (error) {
      const isAbsent = isDockyardError(error, 'ERR_ORIGIN_UNAVAILABLE') || isDockyardError(error, 'ERR_ORIGIN_STALLED');
      // Bytes that a client has sent cannot be sent again.
      if (isLast || body?.isTouched === true || !isAbsent) throw error;
      return undefined;
    }
  }

  /** The seed that has the repository's latest pushes, then the others; those that cannot be reached just now come last. */
  #order(name: RepositoryName): readonly string[] {
    const kept = this.#kept.get(name);
    const isKept = kept !== undefined && this.#deps.clock.nowMs() - kept.atMs < KEPT_MS;
    const order = isKept ? [kept.seed, ...this.#seeds.filter((seed) => seed !== kept.seed)] : [...this.#seeds];
    if (order.length === 1) return order;
    const reachable = order.filter((seed) => this.#deps.origin.isReachable(seed));
    return [...reachable, ...order.filter((seed) => !reachable.includes(seed))];
  }

  #keep(name: RepositoryName, seed: string): void {
    this.#kept.delete(name);
    this.#kept.set(name, { seed, atMs: this.#deps.clock.nowMs() });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
  }

  /** Adds the seed to where an upload goes on at this node. */
  #named(answer: PassedAnswer, rest: string, seed: string): PassedAnswer {
    const { location } = answer.headers;
    const isUpload = rest.startsWith('blobs/uploads/') && answer.status >= 200 && answer.status < 300;
    if (this.#seeds.length === 1 || !isUpload || location?.includes('/blobs/uploads/') !== true) return answer;
    if (!location.startsWith('/')) return answer;
    const mark = `${SEED_PARAMETER}=${encodeURIComponent(seed)}`;
    const named = `${location}${location.includes('?') ? '&' : '?'}${mark}`;
    return { ...answer, headers: { ...answer.headers, location: named } };
  }
}

/** Takes the seed out of a path that this node has given to a client. */
function takeSeed(rest: string): { readonly rest: string; readonly seed: string | undefined } {
  const question = rest.indexOf('?');
  if (question === -1 || !rest.startsWith('blobs/uploads/')) return { rest, seed: undefined };
  let seed: string | undefined;
  const others = rest
    .slice(question + 1)
    .split('&')
    .filter((pair) => {
      const [entry] = new URLSearchParams(pair);
      if (entry?.[0] !== SEED_PARAMETER) return true;
      seed = entry[1];
      return false;
    });
  const query = others.join('&');
  return { rest: query === '' ? rest.slice(0, question) : `${rest.slice(0, question)}?${query}`, seed };
}

/** The seed is one no longer: clients begin anew. */
function uploadUnknown(): PassedAnswer {
  const error = {
    code: 'BLOB_UPLOAD_UNKNOWN',
    message: 'the seed that had this upload is not among those of this node',
  };
  const bytes = Buffer.from(JSON.stringify({ errors: [error] }));
  return {
    status: 404,
    headers: { 'content-type': 'application/json', 'content-length': String(bytes.length) },
    bytes,
  };
}

/** A body that knows whether it was begun to be read. */
class UntouchedBody implements AsyncIterable<Uint8Array> {
  readonly #body: AsyncIterable<Uint8Array>;
  isTouched = false;

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#body = body;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    this.isTouched = true;
    return this.#body[Symbol.asyncIterator]();
  }
}
