/** Replication of a seed: other seeds as the origin client and the transfer layer reach them, and what this one tells them. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { systemClock } from '../../src/origin/clock.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { SideAnswer, SideDoor, SideRequest } from '../../src/registry/side-door.ts';
import { ChangeFeed } from '../../src/replication/change-feed.ts';
import { ChangeIntake } from '../../src/replication/change-intake.ts';
import {
  CHANGES_PATH,
  formatChanges,
  formatQuestion,
  parseChanges,
  parseQuestion,
} from '../../src/replication/change-page.ts';
import { replicationError } from '../../src/replication/errors.ts';
import type { PeerSeed } from '../../src/replication/peer-seed.ts';
import { Replication } from '../../src/replication/replication.ts';
import { SeedPolicy } from '../../src/seed/seed-policy.ts';
import type { Transfer } from '../../src/transfer/open-transfer.ts';
import type { NodeConfig } from '../config/schema.ts';
import { replicationConfig, seedRegistryConfig } from './part-configs.ts';
import type { SeedGround } from './seed-parts.ts';

export interface ReplicatedDeps {
  readonly seed: SeedGround;
  readonly origin: OriginRegistry;
  readonly transfer: Transfer;
  readonly metrics: Registry;
  readonly log: Logger;
}

/** The folder of changes that wait, below the data folder. */
const QUEUE_FOLDER = 'replication';

/** Starts to follow the other seeds; whoever does closes it, before the transfer layer. @throws {DockyardError} when its folder cannot be used */
export async function startReplication(deps: ReplicatedDeps, config: NodeConfig): Promise<Replication> {
  const { seed } = deps;
  const log = deps.log.child({ component: 'replication' });
  // Images of the other kind are taken as they were taken there.
  const policy = new SeedPolicy({ ...seedRegistryConfig(config), reservedNamespaces: [] });
  const { catalog, gate, storage } = seed;
  const intake = new ChangeIntake({ catalog, gate, storage, policy, clock: systemClock, log });
  const peers = config.replication.from.map((name) => peerSeed(deps, name));
  const parts = { changes: catalog.changes, intake, peers, clock: systemClock, random: Math.random };
  const { metrics } = deps;
  return await Replication.open(join(config.data, QUEUE_FOLDER), { ...parts, metrics, log }, replicationConfig(config));
}

function peerSeed({ origin, seed, transfer }: ReplicatedDeps, name: string): PeerSeed {
  const blobs = seed.blobIntake(transfer);
  return {
    name,
    changes: async (question, options) => {
      const found = await origin.document(name, `${CHANGES_PATH}?${formatQuestion(question)}`, options);
      if (found?.status !== 200)
        throw replicationError('ERR_REPLICATION_NOT_A_SEED', `'${name}' is no seed that tells its changes`);
      return parseChanges(found.bytes, name);
    },
    manifest: async (repository, digest, options) =>
      await origin.fetchManifest({ upstream: name, name: repository }, { kind: 'digest', digest }, options),
    bringBlob: async (repository, digest, options) =>
      await blobs.bring(digest, { upstream: name, name: repository }, options),
  };
}

/** What this seed tells others, and how they are kept waiting for it. */
export function createChangesDoor({ catalog }: Pick<SeedGround, 'catalog'>): {
  readonly door: SideDoor;
  readonly feed: ChangeFeed;
} {
  const feed = new ChangeFeed({ changes: catalog.changes });
  return { feed, door: { route: 'changes', answer: async (request) => await answer(feed, request) } };
}

async function answer(feed: ChangeFeed, request: SideRequest): Promise<SideAnswer | undefined> {
  if (request.path !== `/v2/${CHANGES_PATH}`) return undefined;
  const headers = { 'Content-Type': 'application/json' };
  if (request.method !== 'GET') {
    const error = { code: 'UNSUPPORTED', message: 'changes are asked for with GET' };
    const body = Buffer.from(JSON.stringify({ errors: [error] }));
    return { kind: 'document', status: 405, headers: { ...headers, Allow: 'GET' }, body };
  }
  const { signal } = request;
  const body = formatChanges(await feed.answer(parseQuestion(request.query), { signal }));
  return { kind: 'document', status: 200, headers: { ...headers, 'Cache-Control': 'no-store' }, body };
}
