/** Preheating as operators ask for it: the image by its name, as a client of this node would give it. */
import { HOSTED_HERE, type Repository } from '../../src/oci/repository.ts';
import type { ManifestReference, RepositoryName, Tag } from '../../src/oci/name.ts';
import { parseImageReference, type ImageReference } from '../../src/oci/reference.ts';
import { isBareName, routeUpstream } from '../../src/registry/upstream-route.ts';
import type { SeedRegistry } from '../../src/seed/seed-registry.ts';
import type { MemberDirectory } from '../../src/swarm/member.ts';
import { transferError } from '../../src/transfer/errors.ts';
import type { OriginManifestService } from '../../src/transfer/manifest-service.ts';
import type { Transfer } from '../../src/transfer/open-transfer.ts';
import { readImage } from '../../src/transfer/preheat-image.ts';
import { chooseNodes, formatAddress } from '../../src/transfer/preheat-nodes.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { AdminSubject, PreheatRequest } from '../admin/ports.ts';
import type { PreheatReport } from '../admin/reports.ts';
import type { NodeConfig } from '../config/schema.ts';

export interface PreheatingDeps {
  readonly transfer: Pick<Transfer, 'preheat'>;
  readonly members: MemberDirectory;
  readonly manifests: Pick<OriginManifestService, 'get'>;
  readonly origin: Pick<OriginRegistry, 'upstreams'>;
  /** Of a seed. */
  readonly hosted: Pick<SeedRegistry, 'answersFor' | 'manifests'> | undefined;
}

/** The action of the admin server. */
export function createPreheating(deps: PreheatingDeps, config: () => NodeConfig): AdminSubject['preheat'] {
  return (request, options) => preheat(deps, config(), request, options);
}

/** Has nodes fetch an image, and tells how it goes. @throws {DockyardError} of TRANSFER_ERRORS, and what a manifest's look-up throws */
async function* preheat(
  deps: PreheatingDeps,
  config: NodeConfig,
  { image: text, nodes: names, platforms }: PreheatRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<PreheatReport> {
  const nodes = chooseNodes(deps.members.alive(), names);
  const reference = parseImageReference(text);
  const repository = await repositoryOf(deps, config, reference);
  const isHosted = repository.upstream === HOSTED_HERE;
  if (isHosted && config.storage.driver !== 'filesystem') {
    const message = `${text} is in a bucket; ask a node that has this seed as an upstream to preheat it`;
    throw transferError('ERR_PREHEAT_UNKNOWN', message);
  }
  const source = isHosted && deps.hosted !== undefined ? deps.hosted.manifests : deps.manifests;
  const wanted = { repository, reference: manifestReference(reference), platforms };
  const image = await readImage(async (...question) => await source.get(...question), wanted, signal);
  const addressOf = new Map(
    nodes.map(({ peerId, dataAddresses: [address] }) => [peerId, address === undefined ? '' : formatAddress(address)]),
  );
  yield {
    kind: 'plan',
    image: text,
    digest: image.digest,
    manifestCount: image.manifests.length,
    blobCount: image.blobs.length,
    sizeBytes: image.blobs.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0),
    nodeCount: nodes.length,
  };
  for await (const progress of deps.transfer.preheat.run(image, nodes, { signal })) {
    yield { kind: 'node', address: addressOf.get(progress.peerId) ?? '', ...progress };
  }
}

function manifestReference({ tag, digest }: ImageReference): ManifestReference {
  return digest === undefined ? { kind: 'tag', tag: tag ?? ('latest' as Tag) } : { kind: 'digest', digest };
}

/** The repository that a client of this node would get for the name. */
async function repositoryOf(
  { hosted, origin }: PreheatingDeps,
  config: NodeConfig,
  { host, name }: ImageReference,
): Promise<Repository> {
  const nameText = host === undefined ? name : `${host}/${name}`;
  const { upstreams } = origin;
  if (isBareName(nameText, upstreams) && (await hosted?.answersFor(nameText)) === true) {
    return { upstream: HOSTED_HERE, name: nameText as RepositoryName };
  }
  // As the facade does with names without a host.
  const home = hosted === undefined ? config.push.to[0] : undefined;
  return routeUpstream({ nameText, namespaces: [] }, upstreams, home).repository;
}
