/**
 * Tells the homes of the blobs held here that they are held here, again when homes change, and when they are held no longer;
 * DHT and trackers are told once. Questions go out in batches, so that a node that starts with a full store, or makes much room,
 * does not flood its peers.
 */
import type { Logger } from 'pino';
import { asError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import { rankHomes } from '../swarm/home.ts';
import type { HolderDiscovery, Member, MemberDirectory, PeerId } from '../swarm/member.ts';
import { discoveryKey } from './holder-search.ts';
import type { Peers } from './peers.ts';

export interface AnnouncerDeps {
  readonly members: MemberDirectory;
  readonly peers: Peers;
  readonly discoveries: readonly HolderDiscovery[];
  /** Blobs may have been removed since they were announced. */
  readonly isHeld: (digest: Digest) => boolean;
  readonly log: Logger;
}

/** Homes that are told: the nearest, and the one that takes over from it. */
const HOMES = 2;
const BATCH_MS = 20;
const BATCH_DIGESTS = 1000;
/** Changes of membership are gathered for so long. */
const CHANGE_MS = 500;
/** A home that could not be told is tried again after this time. */
const RETRY_MS = 10_000;

const NEWS = ['announce', 'withdraw'] as const;
type News = (typeof NEWS)[number];

export class Announcer {
  readonly #deps: AnnouncerDeps;
  readonly #held = new Map<Digest, readonly PeerId[]>();
  readonly #queues = { announce: new Map<PeerId, Set<Digest>>(), withdraw: new Map<PeerId, Set<Digest>>() };
  #flushing: Promise<void> = Promise.resolve();
  #known: ReadonlySet<PeerId> = new Set();
  #batchTimer: NodeJS.Timeout | undefined;
  #change: { readonly timer: NodeJS.Timeout; readonly delayMs: number } | undefined;
  #closed = false;

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps;
    this.#known = new Set(deps.members.alive().map((member) => member.peerId));
  }

  /** This node holds all of a blob. */
  hold(digest: Digest): void {
    if (this.#held.has(digest) || this.#closed) return;
    this.#tell(digest, this.#homes(digest, this.#deps.members.alive()));
    for (const discovery of this.#deps.discoveries) {
      discovery.announce(discoveryKey(digest)).catch((thrown: unknown) => {
        this.#deps.log.debug({ err: asError(thrown), source: discovery.name, digest }, 'a blob could not be announced');
      });
    }
  }

  /** This node holds a blob no longer. */
  drop(digest: Digest): void {
    const homes = this.#held.get(digest);
    if (homes === undefined || this.#closed) return;
    this.#held.delete(digest);
    this.#queue('withdraw', digest, homes);
    for (const discovery of this.#deps.discoveries) {
      discovery.withdraw(discoveryKey(digest)).catch((thrown: unknown) => {
        this.#deps.log.debug({ err: asError(thrown), source: discovery.name, digest }, 'a blob could not be withdrawn');
      });
    }
  }

  /** Members came or went. */
  onMembersChanged(): void {
    if (this.#closed) return;
    this.#followIn(CHANGE_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#batchTimer);
    clearTimeout(this.#change?.timer);
  }

  /** A sooner look takes the place of a later one. */
  #followIn(delayMs: number): void {
    if (this.#closed || (this.#change !== undefined && this.#change.delayMs <= delayMs)) return;
    clearTimeout(this.#change?.timer);
    const timer = setTimeout(() => {
      this.#change = undefined;
      this.#follow();
    }, delayMs);
    this.#change = { timer, delayMs };
  }

  /** New members may be nearer than the homes so far; homes that went must be replaced. */
  #follow(): void {
    const alive = this.#deps.members.alive();
    const now = new Set(alive.map((member) => member.peerId));
    const came = alive.filter((member) => !this.#known.has(member.peerId));
    for (const [digest, homes] of this.#held) {
      if (!this.#deps.isHeld(digest)) {
        this.#held.delete(digest);
        continue;
      }
      if (homes.length < HOMES || homes.some((home) => !now.has(home))) this.#tell(digest, this.#homes(digest, alive));
      else if (came.length > 0) this.#tell(digest, this.#homes(digest, [...this.#membersOf(homes), ...came]));
    }
    this.#known = now;
  }

  #membersOf(peerIds: readonly PeerId[]): Member[] {
    return peerIds.flatMap((peerId) => this.#deps.members.get(peerId) ?? []);
  }

  #homes(digest: Digest, members: readonly Member[]): PeerId[] {
    return rankHomes(digest, members, HOMES).map((member) => member.peerId);
  }

  #tell(digest: Digest, homes: readonly PeerId[]): void {
    const told = this.#held.get(digest) ?? [];
    this.#held.set(digest, homes);
    this.#queue(
      'announce',
      digest,
      homes.filter((home) => !told.includes(home)),
    );
  }

  /** Of two things to say of a blob the later one is said. */
  #queue(what: News, digest: Digest, homes: readonly PeerId[]): void {
    for (const home of homes) {
      if (home === this.#deps.members.self.peerId) continue;
      this.#queues[what === 'announce' ? 'withdraw' : 'announce'].get(home)?.delete(digest);
      const queue = this.#queues[what].get(home) ?? new Set();
      this.#queues[what].set(home, queue.add(digest));
      this.#batchTimer ??= setTimeout(() => this.#onBatch(), BATCH_MS);
    }
  }

  /** One batch after the other, so that no older word overtakes a newer one. */
  #onBatch(): void {
    this.#batchTimer = undefined;
    const batch = NEWS.map((what) => [what, [...this.#queues[what]]] as const);
    for (const what of NEWS) this.#queues[what].clear();
    this.#flushing = this.#flushing.then(async () => {
      for (const [what, queues] of batch) await this.#flush(what, queues);
    });
  }

  async #flush(what: News, queues: readonly [PeerId, ReadonlySet<Digest>][]): Promise<void> {
    for (const [peerId, digests] of queues) {
      const member = this.#deps.members.get(peerId);
      const all = [...digests];
      for (let at = 0; member !== undefined && at < all.length && !this.#closed; at += BATCH_DIGESTS) {
        await this.#send(what, member, all.slice(at, at + BATCH_DIGESTS));
      }
    }
  }

  async #send(what: News, member: Member, digests: readonly Digest[]): Promise<void> {
    try {
      await this.#deps.peers.ask(member, what, { digests });
    } catch (thrown) {
      // Whoever was not told that a blob is gone finds it out when it asks for it.
      if (what === 'withdraw') return;
      for (const digest of digests) {
        const homes = this.#held.get(digest);
        // It may be held no longer by now.
        if (homes !== undefined)
          this.#held.set(
            digest,
            homes.filter((home) => home !== member.peerId),
          );
      }
      this.#deps.log.debug({ err: asError(thrown), home: member.peerId }, 'a home could not be told what is held here');
      this.#followIn(RETRY_MS);
    }
  }
}
