/**
 * Whether upstreams answer, with the credentials that the node would use. There is no request that every registry must
 * allow, so a tag is asked for that may not exist: "not found" is an answer as good as any.
 */
import { isAbortError, isDockyardError, asError } from '../../src/oci/error.ts';
import { parseManifestReference, parseRepositoryName, type Tag } from '../../src/oci/name.ts';
import type { Repository } from '../../src/oci/repository.ts';
import type { UpstreamFinding, UpstreamProbe } from '../admin/ports.ts';
import type { NodeConfig, UpstreamConfig } from '../config/schema.ts';

/** A repository that anyone may read where one is known; elsewhere a name that hardly anyone uses. */
const PROBED: Readonly<Record<string, string>> = { 'docker.io': 'library/hello-world' };
const UNLIKELY_REPOSITORY = 'dockyard-doctor/probe';

const PATIENCE_MS = 5_000;

/** The part of the origin client that is needed; `OriginRegistry` is the real one. */
export interface ProbedOrigin {
  resolveTag(
    repository: Repository,
    tag: Tag,
    options: { signal?: AbortSignal | undefined; patienceMs?: number | undefined },
  ): Promise<unknown>;
}

/** Collaborators of the probe. */
export interface OriginProbeDeps {
  readonly origin: ProbedOrigin;
  readonly config: () => NodeConfig;
}

/** Asks every configured upstream. */
export class OriginProbe implements UpstreamProbe {
  readonly #deps: OriginProbeDeps;

  constructor(deps: OriginProbeDeps) {
    this.#deps = deps;
  }

  async probe(options: { signal: AbortSignal }): Promise<readonly UpstreamFinding[]> {
    return await Promise.all(this.#deps.config().upstreams.map((upstream) => this.#probeOne(upstream, options.signal)));
  }

  async #probeOne(upstream: UpstreamConfig, signal: AbortSignal): Promise<UpstreamFinding> {
    const { name, url } = upstream;
    const repository = { upstream: name, name: parseRepositoryName(PROBED[name] ?? UNLIKELY_REPOSITORY) };
    const reference = parseManifestReference('latest');
    const startedAtMs = performance.now();
    try {
      if (reference.kind === 'tag')
        await this.#deps.origin.resolveTag(repository, reference.tag, { signal, patienceMs: PATIENCE_MS });
      return { name, state: 'ok', seen: `${url} answered in ${Math.round(performance.now() - startedAtMs)} ms` };
    } catch (error) {
      if (isAbortError(error) && signal.aborted)
        return { name, state: 'warn', seen: `${url} took too long`, remedy: UNREACHABLE_REMEDY };
      return judgeRefusal(upstream, error);
    }
  }
}

const UNREACHABLE_REMEDY =
  'Check the URL, the network, DNS, the proxy and the certificates; what is held is served meanwhile.';

function judgeRefusal(upstream: UpstreamConfig, error: unknown): UpstreamFinding {
  const { name, url } = upstream;
  const { message } = asError(error);
  if (isDockyardError(error, 'ERR_ORIGIN_DENIED')) {
    const hasCredentials = upstream.username !== undefined || upstream.token !== undefined;
    // Many registries say "denied" of what does not exist, so this alone is no fault of an anonymous node.
    if (!hasCredentials) return { name, state: 'ok', seen: `${url} answers; it shows nothing to strangers` };
    const remedy = `Check username and password (or token) of upstreams.${name}; many registries also deny what does not exist.`;
    return { name, state: 'warn', seen: `${url} answers, and denied the configured account: ${message}`, remedy };
  }
  if (isDockyardError(error, 'ERR_ORIGIN_RATE_LIMITED')) {
    return {
      name,
      state: 'warn',
      seen: `${url} refuses for load`,
      remedy: 'Give it an account, or wait; tags are served stale meanwhile.',
    };
  }
  // The node works without its upstreams as long as someone holds what is asked for.
  return { name, state: 'warn', seen: message, remedy: UNREACHABLE_REMEDY };
}
