/** The registry that a name on the command line means: one of the configuration, or simply the host that stands in it. */
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { systemClock } from '../../src/origin/clock.ts';
import { OriginRegistry } from '../../src/origin/origin-registry.ts';
import { resolveUpstream, type OriginConfig } from '../../src/origin/upstream-config.ts';
import { canonicalUpstream, repositoryAt } from '../../src/oci/docker-hub.ts';
import type { ImageReference } from '../../src/oci/reference.ts';
import type { Repository } from '../../src/oci/repository.ts';
import { originConfig } from '../composition/upstream-table.ts';
import { ReplaceableCredentials } from '../composition/credentials.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { usualScheme } from '../usual-scheme.ts';

/** A registry to fetch from, and the repository in it. Whoever opens it closes it. */
export interface FetchOrigin extends AsyncDisposable {
  readonly registry: OriginRegistry;
  readonly repository: Repository;
}

/** How the registry is found. */
export interface FetchOriginConfig {
  readonly config: NodeConfig;
  /** How to speak to the host, where that was said; it is then the host itself, and no upstream of the configuration. */
  readonly scheme: 'http' | 'https' | undefined;
}

/**
 * Opens the registry that `reference` names; nothing is asked of it yet.
 * @throws {DockyardError} ERR_USAGE where no upstream is configured; ERR_UPSTREAM_INVALID, ERR_CONFIG_UNREADABLE
 */
export async function openFetchOrigin(
  log: Logger,
  reference: ImageReference,
  { config, scheme }: FetchOriginConfig,
): Promise<FetchOrigin> {
  const table = await originConfig(config);
  const { upstream, origin } = chooseUpstream(reference.host, table, scheme);
  const credentials = new ReplaceableCredentials({ log, clock: systemClock }, config.credentials.dockerConfig);
  const registry = new OriginRegistry({ log, metrics: new Registry(), clock: systemClock, credentials }, origin);
  return {
    registry,
    repository: repositoryAt(upstream, reference.name),
    [Symbol.asyncDispose]: () => registry.close(),
  };
}

function chooseUpstream(
  host: string | undefined,
  table: OriginConfig,
  scheme: FetchOriginConfig['scheme'],
): { upstream: string; origin: OriginConfig } {
  if (host === undefined) {
    const [first] = table.upstreams;
    if (first !== undefined) return { upstream: first.name, origin: table };
    throw nodeError('ERR_USAGE', 'the name has no host, and no upstream is configured');
  }
  const wanted = canonicalUpstream(host);
  const known = findUpstream(host, table.upstreams);
  if (known !== undefined && scheme === undefined) return { upstream: known.name, origin: table };
  const url = `${scheme ?? usualScheme(host)}://${host}`;
  const named = resolveUpstream({ name: wanted, url });
  return { upstream: named.name, origin: { ...table, upstreams: [named] } };
}

/** The upstream of the configuration that a host means. */
export function findUpstream<Upstream extends { readonly name: string }>(
  host: string,
  upstreams: readonly Upstream[],
): Upstream | undefined {
  const wanted = canonicalUpstream(host);
  return upstreams.find(({ name }) => canonicalUpstream(name) === wanted);
}
