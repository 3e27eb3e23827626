/**
 * The node's place among others: who it is, the data plane where others fetch from it, and the swarm that tells them
 * where that is. A node outside of any swarm has a data plane that nobody can enter.
 */
import type { BufferPool } from '../../src/content/buffer-pool.ts';
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { BlobStore } from '../../src/content/blob-store.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import { loadOrMakeIdentity, verifyPeerSignature } from '../../src/swarm/identity.ts';
import type { HolderDiscovery, MemberDirectory } from '../../src/swarm/member.ts';
import { openSwarm } from '../../src/swarm/swarm.ts';
import type { SwarmKey } from '../../src/swarm/swarm-key.ts';
import { openDataPlane, type DataPlane } from '../../src/transfer/open-transfer.ts';
import type { HostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';
import { listenFailure, type ListenPurpose } from '../listen-failure.ts';
import { identityPath, linkConfig, swarmConfig, transferConfig } from './part-configs.ts';
import { soloMembers } from './solo-members.ts';

/** What the data plane's handshake derives from the swarm key; other uses derive other keys. */
const LINK_KEY_PURPOSE = 'link';

/** Collaborators from the floors below. */
export interface SwarmPartsDeps {
  readonly store: BlobStore;
  /** Without one the swarm is open, or there is none. */
  readonly swarmKey: SwarmKey | undefined;
  readonly memory: BufferPool;
  readonly clock: { nowMs(): number };
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** What was opened. Closed by whoever opened it. */
export interface SwarmParts extends AsyncDisposable {
  readonly peerId: string;
  readonly dataPlane: DataPlane;
  readonly members: MemberDirectory;
  readonly discoveries: readonly HolderDiscovery[];
  /** Where this node listens for others; `undefined` outside of any swarm. */
  readonly addresses: { readonly swarm: HostPort; readonly data: HostPort } | undefined;
  /** Calls back when members come or go. */
  onMembersChanged(listener: () => void): void;
}

/** Opens all of it. @throws {DockyardError} ERR_IDENTITY_INVALID, ERR_SWARM_LISTEN, ERR_SWARM_OPEN */
export async function openSwarmParts(deps: SwarmPartsDeps, config: NodeConfig): Promise<SwarmParts> {
  await using starting = new AsyncDisposableStack();
  const identity = await loadOrMakeIdentity(identityPath(config));
  const { enabled } = config.swarm;
  const { swarmKey } = deps;
  const memberKey = enabled ? swarmKey?.deriveKey(LINK_KEY_PURPOSE) : randomBytes(32);
  const { store, memory, clock, log, metrics } = deps;
  const dataPlaneDeps = { identity, verify: verifyPeerSignature, memberKey, store, memory, clock, log, metrics };
  const links = linkConfig(config);
  const dataPlane = starting.use(
    await listening('data', links.listen, openDataPlane(dataPlaneDeps, { ...transferConfig(config), links })),
  );
  const shared = { peerId: identity.peerId, dataPlane };
  if (!enabled) {
    const running = starting.move();
    const outside = {
      members: soloMembers(identity.peerId),
      discoveries: [],
      addresses: undefined,
      onMembersChanged: () => undefined,
    };
    return { ...shared, ...outside, [Symbol.asyncDispose]: () => running.disposeAsync() };
  }
  const heardAtMs = (peerId: string): number | undefined => dataPlane.links.heardAtMs(peerId);
  const opening = openSwarm({ ...deps, identity, heardAtMs }, swarmConfig(config, dataPlane.links.port));
  const swarm = starting.use(await listening('swarm', config.swarm.listen, opening));
  warnIfOpen(swarmKey, config, log);
  const running = starting.move();
  return {
    ...shared,
    members: swarm.members,
    discoveries: swarm.discoveries,
    addresses: {
      swarm: { host: config.swarm.listen.host, port: swarm.port },
      data: { host: config.swarm.data.host, port: dataPlane.links.port },
    },
    onMembersChanged: (listener) => void swarm.members.onChange(listener),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Waits for a part that listens; where it cannot, the error says why and names the flag, which the part does not know. */
async function listening<Part>(purpose: ListenPurpose, address: HostPort, opening: Promise<Part>): Promise<Part> {
  try {
    return await opening;
  } catch (error) {
    throw isDockyardError(error, 'ERR_SWARM_LISTEN') ? listenFailure(purpose, address, error.cause) : error;
  }
}

function warnIfOpen(swarmKey: SwarmKey | undefined, config: NodeConfig, log: Logger): void {
  if (swarmKey === undefined && config.swarm.open) log.warn('the swarm is open: whoever reaches this node may join');
}
