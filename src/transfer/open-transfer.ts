/** The transfer layer, put together: first the data plane, whose port others must know, then what fetches over it. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { BufferPool } from '../content/buffer-pool.ts';
import type { BlobStore } from '../content/blob-store.ts';
import { KeyedLock } from '../content/keyed-lock.ts';
import { systemClock } from '../origin/clock.ts';
import type { ManifestStore } from '../content/manifest-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { LinkIdentity, VerifySignature } from '../swarm/link/handshake.ts';
import { LinkNetwork, type LinkNetworkConfig } from '../swarm/link/link-network.ts';
import type { HolderDiscovery, MemberDirectory } from '../swarm/member.ts';
import { Announcer } from './announcer.ts';
import { BlobTransfer } from './blob-transfer.ts';
import { ExchangeHub } from './exchange-hub.ts';
import { HolderSearch } from './holder-search.ts';
import { HomeDesk } from './home-desk.ts';
import type { LendQuestion } from './lend.ts';
import type { LocateQuestion } from './locate.ts';
import { RecentPieces } from './local-pieces.ts';
import type { OriginBlobs } from './origin-feed.ts';
import { PeerManifestExchange, SharingManifestStore } from './peer-manifests.ts';
import { Peers } from './peers.ts';
import { Preheat } from './preheat.ts';
import { PreheatDesk } from './preheat-desk.ts';
import { RateLimit } from './rate-limit.ts';
import { Rendezvous, RENDEZVOUS_LIMITS } from './rendezvous.ts';
import { SmallBlobs } from './small-blobs.ts';
import type { TransferConfig } from './transfer-config.ts';
import { TransferMetrics } from './transfer-metrics.ts';

export interface DataPlaneDeps {
  /** Memory for pieces, shared with the store. */
  readonly memory: BufferPool;
  readonly identity: LinkIdentity;
  readonly verify: VerifySignature;
  /** 32 bytes derived from the swarm key; undefined in an open network. */
  readonly memberKey: Buffer | undefined;
  readonly store: BlobStore;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  readonly metrics: Registry;
}

/** The listener for peers, and what they may ask of it. Closed by whoever opened it. */
export interface DataPlane extends AsyncDisposable {
  readonly hub: ExchangeHub;
  readonly links: LinkNetwork;
  readonly memory: BufferPool;
  readonly recent: RecentPieces;
  readonly uploadRate: RateLimit;
  readonly downloadRate: RateLimit;
  readonly identity: LinkIdentity;
  readonly verify: VerifySignature;
  close(): Promise<void>;
}

/**
 * Listens for peers.
 * @throws {DockyardError} ERR_SWARM_LISTEN
 */
export async function openDataPlane(
  deps: DataPlaneDeps,
  config: TransferConfig & { links: LinkNetworkConfig },
): Promise<DataPlane> {
  const nowMs = (): number => deps.clock.nowMs();
  const recent = new RecentPieces(deps.memory, config.recentPiecesBytes);
  const uploadRate = new RateLimit(config.uploadRateBytesPerSecond, nowMs);
  const downloadRate = new RateLimit(config.downloadRateBytesPerSecond, nowMs);
  const log = deps.log.child({ component: 'transfer' });
  const hub = new ExchangeHub({ ...deps, log, recent, uploadRate }, config);
  const { identity, verify, memberKey, clock } = deps;
  const handshake = { identity, verify, memberKey };
  const isBanned = (peerId: string): boolean => hub.isBanned(peerId);
  const links = await LinkNetwork.open({ handshake, handler: hub, log, clock, isBanned }, config.links);
  const close = async (): Promise<void> => {
    uploadRate.close();
    downloadRate.close();
    await hub.close();
    await links.close();
  };
  return {
    memory: deps.memory,
    hub,
    links,
    recent,
    uploadRate,
    downloadRate,
    identity,
    verify,
    close,
    [Symbol.asyncDispose]: close,
  };
}

export interface TransferDeps {
  readonly dataPlane: DataPlane;
  readonly store: BlobStore;
  readonly manifests: ManifestStore;
  readonly origin: OriginBlobs;
  readonly sizes: { sizeHint(digest: string): number | undefined };
  readonly members: MemberDirectory;
  readonly discoveries: readonly HolderDiscovery[];
  readonly random: () => number;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  readonly metrics: Registry;
}

/** What fetches and shares. Closed by whoever opened it, before the data plane. */
export interface Transfer extends AsyncDisposable {
  readonly blobs: BlobTransfer;
  /** Tags and manifests known to peers. */
  readonly peerManifests: PeerManifestExchange;
  /** The manifest store that offers to peers what is put into it. */
  readonly manifests: ManifestStore;
  readonly peers: Peers;
  /** Has nodes fetch images before they are needed. */
  readonly preheat: Preheat;
  /** Tells others that this node holds all of a blob that it did not fetch. */
  announce(digest: Digest): void;
  /** To be called when members come or go. */
  onMembersChanged(): void;
  close(): Promise<void>;
}

/** Puts the transfer layer together over an open data plane. */
export function createTransfer(deps: TransferDeps, config: TransferConfig): Transfer {
  const { dataPlane, store, members, discoveries, clock, random, origin } = deps;
  const { hub, recent, downloadRate, identity, memory } = dataPlane;
  const log = deps.log.child({ component: 'transfer' });
  const nowMs = (): number => clock.nowMs();
  const stopping = new AbortController();
  const metrics = new TransferMetrics(deps.metrics);
  const peers = new Peers({ members, links: dataPlane.links }, config);
  hub.onFetchingOverAccepted((link) => peers.dialBack(link));
  const rendezvous = new Rendezvous(RENDEZVOUS_LIMITS, random);
  const search = new HolderSearch({ peers, rendezvous, discoveries, nowMs, log }, config);
  const isHeld = (digest: Digest): boolean => store.stat(digest) !== undefined;
  const announcer = new Announcer({ members, peers, discoveries, isHeld, log });
  const onComplete = announcer.hold.bind(announcer);
  const onLie = (peerId: string): void => {
    const link = dataPlane.links.get(peerId);
    if (link !== undefined) hub.ban(link, 'wrong-piece');
  };
  const { askTimeoutMs, stallTimeoutMs } = config;
  const shared = { memory, store, peers, search, origin, metrics, log };
  const { signal } = stopping;
  const small = new SmallBlobs({ ...shared, onComplete, onLie, signal, askTimeoutMs });
  const journeys = { ...shared, hub, recent, identity, downloadRate, clock, random, onComplete };
  const readingBack = new KeyedLock<Digest>();
  const { verify } = dataPlane;
  const passing = { ...shared, verify, clock, downloadRate, readingBack, askTimeoutMs, stallTimeoutMs };
  const blobs = new BlobTransfer({ ...shared, small, sizes: deps.sizes, journeys, passing }, config);
  const begin = (question: LocateQuestion): void => blobs.begin(question.digest, question.repository);
  const lend = async (question: LendQuestion): Promise<void> => await blobs.lend(question);
  new HomeDesk({ identity, hub, store, peers, rendezvous, nowMs, begin, lend, small }, config);
  const peerManifests = new PeerManifestExchange({ hub, peers, store: deps.manifests, clock, log, signal });
  const manifests = new SharingManifestStore({ below: deps.manifests, exchange: peerManifests, log });
  const desk = new PreheatDesk({ hub, store, blobs, nowMs, log });
  const preheat = new Preheat({ members, peers, manifests: peerManifests, desk, clock: systemClock });
  for (const held of store.list()) announcer.hold(held.digest);
  store.onGone((digest) => announcer.drop(digest));
  const close = async (): Promise<void> => {
    stopping.abort();
    announcer.close();
    await desk.close();
    await blobs.close();
  };
  const onMembersChanged = (): void => announcer.onMembersChanged();
  const announce = onComplete;
  return {
    blobs,
    peerManifests,
    manifests,
    peers,
    preheat,
    announce,
    onMembersChanged,
    close,
    [Symbol.asyncDispose]: close,
  };
}
