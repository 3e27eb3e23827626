/** The swarm as the composition root sees it: opened in one call, closed in one call. */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { Bootstrap } from './bootstrap.ts';
import type { Clock } from './clock.ts';
import { DhtDiscovery } from './dht-discovery.ts';
import type { Identity } from './identity.ts';
import { Libp2pHost, type HostStats } from './libp2p-host.ts';
import type { HolderDiscovery, PeerId, SocketAddress } from './member.ts';
import { Membership } from './membership.ts';
import { MEMBERSHIP_DEFAULTS, type MembershipConfig } from './membership-config.ts';
import type { SelfDescription } from './membership-state.ts';
import { announcedHosts } from './socket-address.ts';
import type { SwarmKey } from './swarm-key.ts';
import { TrackerDiscovery } from './tracker-discovery.ts';
import { TrackerProof } from './tracker-proof.ts';

export interface SwarmDeps {
  readonly identity: Identity;
  /** Without one the network is open, and only loopback is listened on unless `allowOpenNetwork`. */
  readonly swarmKey?: SwarmKey | undefined;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly clock: Clock;
  /** When the data plane last heard from a member, by `clock`; undefined when there is no link with it. */
  readonly heardAtMs: (peerId: PeerId) => number | undefined;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface SwarmConfig {
  /** Port 0 takes a free one. */
  readonly listen: SocketAddress;
  /** Host, and port or 0 for the port listened on, where others reach this node. */
  readonly announce?: SocketAddress | undefined;
  /** Nodes that are there already, by name or address. Empty for the first. */
  readonly bootstrap: readonly SocketAddress[];
  readonly mdns: boolean;
  readonly topology: string;
  /** Where the data plane listens. May be told later, by `announceDataPort`. */
  readonly dataPort?: number | undefined;
  readonly allowOpenNetwork: boolean;
  readonly dht: boolean;
  /** `http://…/announce` and `udp://…` of trackers; empty for none. */
  readonly trackers: readonly string[];
  /** Times and bounds; defaults suit all but tests. */
  readonly membership?: MembershipConfig | undefined;
}

/** A node's place in the swarm. Whoever opens it closes it. */
export interface Swarm extends AsyncDisposable {
  readonly members: Membership;
  /** Second ways to find holders, as configured. */
  readonly discoveries: readonly HolderDiscovery[];
  /** The port of the libp2p listener. */
  readonly port: number;
  stats(): HostStats;
  /** Tells the swarm where this node's data plane listens. */
  announceDataPort(port: number): void;
  /** Leaves the swarm, then ends everything. Idempotent. */
  close(): Promise<void>;
}

/**
 * Joins the swarm. Contact with others is made in the background.
 * @throws {DockyardError} ERR_SWARM_OPEN, ERR_SWARM_LISTEN, ERR_TRACKER_FAILED (a tracker URL that is none)
 */
export async function openSwarm(deps: SwarmDeps, config: SwarmConfig): Promise<Swarm> {
  await using starting = new AsyncDisposableStack();
  const log = deps.log.child({ component: 'swarm' });
  const host = starting.use(await Libp2pHost.open({ ...deps, log }, config));
  const hosts =
    config.announce === undefined ? announcedHosts(config.listen.host, networkInterfaces()) : [config.announce.host];
  const at = (port: number | undefined): SocketAddress[] =>
    port === undefined ? [] : hosts.map((name) => ({ host: name, port }));
  const self: SelfDescription = {
    swarmAddresses: at(
      config.announce?.port === undefined || config.announce.port === 0 ? host.listenPort : config.announce.port,
    ),
    dataAddresses: at(config.dataPort),
    topology: config.topology,
  };
  const bootstrap = new Bootstrap(
    { ...deps, log, dial: async (address, options) => host.dialAddress(address, options), accepts, resolve },
    config.bootstrap,
  );
  const members = starting.use(
    await Membership.open({ ...deps, log, host, bootstrap }, self, config.membership ?? MEMBERSHIP_DEFAULTS),
  );
  const discoveries: HolderDiscovery[] = [];
  if (host.dht !== undefined)
    discoveries.push(starting.use(new DhtDiscovery({ ...deps, log, dht: host.dht, members })));
  if (config.trackers.length > 0) {
    const proof = deps.swarmKey === undefined ? undefined : new TrackerProof(deps.swarmKey);
    // The tracker compares the time in a proof with its own: no steady clock will do.
    const prove = proof === undefined ? undefined : (infoHash: Uint8Array) => proof.prove(infoHash, Date.now());
    const trackers = new TrackerDiscovery({ ...deps, log, members, prove }, { trackers: config.trackers });
    discoveries.push(starting.use(trackers));
  }
  const running = starting.move();
  const close = async (): Promise<void> => running.disposeAsync();
  return {
    members,
    discoveries,
    port: host.listenPort,
    stats: () => host.stats(),
    announceDataPort: (port) => members.describe({ dataAddresses: at(port) }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function resolve(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return found.map((entry) => entry.address);
}

async function accepts(address: SocketAddress, { signal }: { signal: AbortSignal }): Promise<boolean> {
  const socket = connect({ host: address.host, port: address.port });
  try {
    await once(socket, 'connect', { signal });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
