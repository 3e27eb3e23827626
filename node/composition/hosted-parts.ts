/** What a seed serves of its own over the swarm: its registry, who is told of events, and the copies that it keeps at other nodes. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { HOSTED_HERE } from '../../src/oci/repository.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { RegistryListener } from '../../src/registry/registry-events.ts';
import type { SideDoor } from '../../src/registry/side-door.ts';
import type { Replication } from '../../src/replication/replication.ts';
import { MinimumCopies } from '../../src/seed/minimum-copies.ts';
import type { SeedRegistry } from '../../src/seed/seed-registry.ts';
import type { MemberDirectory } from '../../src/swarm/member.ts';
import { ensureCopies } from '../../src/transfer/copies.ts';
import type { Transfer } from '../../src/transfer/open-transfer.ts';
import { readImage, type FindManifest } from '../../src/transfer/preheat-image.ts';
import type { NodeConfig } from '../config/schema.ts';
import { minimumCopiesConfig } from './part-configs.ts';
import { createChangesDoor, startReplication } from './replication.ts';
import type { SeedGround } from './seed-parts.ts';

export interface HostedDeps {
  readonly seed: SeedGround;
  readonly transfer: Transfer;
  readonly members: MemberDirectory;
  readonly origin: OriginRegistry;
  readonly metrics: Registry;
  readonly log: Logger;
}

/** Closed by whoever opened it, before the transfer layer. */
export interface HostedParts extends AsyncDisposable {
  readonly registry: SeedRegistry;
  /** What else it answers beside the registry. */
  readonly sideDoors: readonly SideDoor[];
  /** Told of what happens in the repositories of the seed. */
  readonly listener: RegistryListener;
  readonly replication: Replication;
  /** Lets nobody wait any longer, since the process is about to end. */
  endWaiting(): void;
}

/** Puts them together, begins to keep copies and to follow other seeds. @throws {DockyardError} of the queue of changes */
export async function openHosted(deps: HostedDeps, config: NodeConfig): Promise<HostedParts> {
  const { seed, transfer } = deps;
  await using opening = new AsyncDisposableStack();
  const { hosted: registry, sideDoors } = seed.createRegistry(transfer);
  const copies = keepCopies(deps, config);
  opening.defer(async () => await copies.close());
  const replication = opening.use(await startReplication(deps, config));
  const { door, feed } = createChangesDoor(seed);
  const listener: RegistryListener = {
    onEvent: async (event) => {
      if (event.action === 'push' && event.manifestBytes !== undefined) copies.onPush(event.repository);
      await seed.notifier.onEvent(event);
    },
  };
  const opened = opening.move();
  return {
    registry,
    sideDoors: [...sideDoors, door],
    listener,
    replication,
    endWaiting: () => feed.endWaiting(),
    [Symbol.asyncDispose]: async () => await opened.disposeAsync(),
  };
}

/** Its catalog says what is wanted, the swarm makes it so. */
function keepCopies({ seed, transfer, members, metrics, log }: HostedDeps, config: NodeConfig): MinimumCopies {
  const onFailure = (peer: string, err: Error): void =>
    log.info({ err, peer }, 'a node could not be given a copy of an image');
  const copies = new MinimumCopies(
    {
      catalog: seed.catalog,
      ensure: async ({ repository: name, digest }, wanted, { signal }) => {
        const repository = { upstream: HOSTED_HERE, name };
        const image = { repository, reference: { kind: 'digest', digest }, platforms: [] } as const;
        // From the catalog, since to ask the registry would count as a pull.
        const find: FindManifest = async (reference) =>
          reference.kind === 'digest' ? await seed.catalog.manifests.get(name, reference.digest) : undefined;
        const read = await readImage(find, image, signal);
        return await ensureCopies({ preheat: transfer.preheat, members, onFailure }, read, wanted, { signal });
      },
      metrics,
      log,
    },
    minimumCopiesConfig(config),
  );
  copies.start();
  return copies;
}
