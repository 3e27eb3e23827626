/** The search for holders of one journey: whom to ask, whom to avoid for a while, and what the homes said. */
import type { Logger } from 'pino';
import { asError, isAbortError } from '../oci/error.ts';
import type { PeerId } from '../swarm/member.ts';
import type { Link } from '../swarm/link/link.ts';
import type { FoundHolder, HolderSearch } from './holder-search.ts';
import type { LocateQuestion } from './locate.ts';
import type { Peers } from './peers.ts';
import type { LeaveReason } from './wire.ts';

export interface HolderHuntDeps {
  readonly peers: Peers;
  readonly search: HolderSearch;
  readonly nowMs: () => number;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** What is asked for, as it stands now. */
  readonly question: () => LocateQuestion;
  /** Whether another holder may be met: there is room, and this one takes no part yet. */
  readonly wants: (holder: FoundHolder, counts: { diallingCount: number; searchCount: number }) => boolean;
  readonly onLink: (link: Link) => void;
  readonly onSize: (sizeBytes: number) => void;
  /** Something changed that the plan depends on. */
  readonly onChange: () => void;
}

/** A peer that failed this journey is not tried again for so long. */
export const AVOID_MS = 10_000;
/** When so many homes could not get the blob, this node asks no further one and reads the origin itself. */
const MAX_FAILED_HOMES = 2;

export class HolderHunt {
  readonly #deps: HolderHuntDeps;
  readonly #avoided = new Map<PeerId, number>();
  #role: 'reader' | 'follower' = 'follower';
  #home: PeerId | undefined;
  #isHomeFar = false;
  /** They have enough peers. */
  readonly #full = new Map<PeerId, number>();
  #isSearching = false;
  #searchedAtMs: number | undefined;
  #discovery: 'idle' | 'running' | 'done' = 'idle';
  #diallingCount = 0;
  #searchCount = 0;
  #failedHomes = 0;

  constructor(deps: HolderHuntDeps) {
    this.#deps = deps;
  }

  /** `reader`: nobody else reads the origin for this node. */
  get role(): 'reader' | 'follower' {
    return this.#role;
  }

  /** The home that answered last, unless it is this node or has left. */
  get home(): PeerId | undefined {
    return this.#home;
  }

  /** The home takes part and named others instead of itself: from it all comes, though there is no channel with it. */
  get isHomeFar(): boolean {
    return this.#isHomeFar && this.#home !== undefined;
  }

  get isSearching(): boolean {
    return this.#isSearching;
  }

  /** When the homes last answered; undefined when they are to be asked at once. */
  get searchedAtMs(): number | undefined {
    return this.#searchedAtMs;
  }

  get discovery(): 'idle' | 'running' | 'done' {
    return this.#discovery;
  }

  /** Holders that are being dialled. */
  get diallingCount(): number {
    return this.#diallingCount;
  }

  /** From now on this node reads the origin itself. */
  becomeReader(): void {
    this.#role = 'reader';
    this.#searchedAtMs = this.#deps.nowMs();
  }

  /** This peer is not tried for a while. */
  avoid(peerId: PeerId): void {
    this.#avoided.set(peerId, this.#deps.nowMs() + AVOID_MS);
  }

  /**
   * A peer left. A home that is gone, or could not get the blob, has a successor: if all who followed it turned to the origin
   * instead, each would read the rest of the blob there. One for whom the blob does not exist leaves the origin to this node.
   */
  onLeft(peerId: PeerId, reason: LeaveReason | 'closed'): void {
    if (reason === 'full') {
      this.#full.set(peerId, this.#deps.nowMs() + AVOID_MS);
      if (peerId === this.#home) this.#isHomeFar = true;
      return;
    }
    if (reason !== 'done') this.avoid(peerId);
    if (peerId !== this.#home) return;
    this.#home = undefined;
    if (reason === 'failed') this.#failedHomes += 1;
    const hasSuccessor = reason !== 'absent' && reason !== 'size-differs' && this.#failedHomes < MAX_FAILED_HOMES;
    if (hasSuccessor) this.#searchedAtMs = undefined;
    else this.#role = 'reader';
  }

  /** Asks the homes. */
  async askHomes(): Promise<void> {
    this.#isSearching = true;
    this.#searchCount += 1;
    const { search, signal, log, nowMs } = this.#deps;
    const question = this.#deps.question();
    try {
      const onHolder = (holder: FoundHolder): void => void this.#meet(holder);
      const outcome = await search.askHomes(question, { except: this.#avoidedNow(), onHolder, signal });
      this.#role = outcome.role;
      this.#home = outcome.home;
      this.#isHomeFar = outcome.isCrowded;
      if (outcome.sizeBytes !== undefined) this.#deps.onSize(outcome.sizeBytes);
    } catch (thrown) {
      const error = asError(thrown);
      if (!isAbortError(error)) log.debug({ err: error, digest: question.digest }, 'the homes could not be asked');
    } finally {
      this.#isSearching = false;
      this.#searchedAtMs = nowMs();
      this.#deps.onChange();
    }
  }

  /** Asks DHT and trackers, once. */
  async discover(): Promise<void> {
    this.#discovery = 'running';
    const { digest } = this.#deps.question();
    await this.#deps.search.discover(digest, (holder) => void this.#meet(holder), this.#deps.signal);
    this.#discovery = 'done';
    this.#deps.onChange();
  }

  /** Members that a busy holder named. */
  meet(peerIds: readonly PeerId[]): void {
    const { peers } = this.#deps;
    for (const peerId of peerIds) {
      const address = peerId === peers.self.peerId ? undefined : peers.addressOf(peerId);
      if (address !== undefined) void this.#meet(address);
    }
  }

  async #meet(holder: FoundHolder): Promise<void> {
    const isAvoided = holder.peerId !== undefined && this.#isAvoided(holder.peerId);
    const counts = { diallingCount: this.#diallingCount, searchCount: this.#searchCount };
    if (this.#deps.signal.aborted || isAvoided || !this.#deps.wants(holder, counts)) return;
    this.#diallingCount += 1;
    try {
      const link = await this.#deps.peers.link(holder, this.#deps.signal);
      if (!this.#deps.signal.aborted) this.#deps.onLink(link);
    } catch (thrown) {
      if (holder.peerId !== undefined) this.avoid(holder.peerId);
      this.#deps.log.debug({ err: asError(thrown), peer: holder.peerId }, 'a holder could not be reached');
    } finally {
      this.#diallingCount -= 1;
      this.#deps.onChange();
    }
  }

  #isAvoided(peerId: PeerId): boolean {
    return (this.#full.get(peerId) ?? 0) > this.#deps.nowMs() || this.#avoidedNow().has(peerId);
  }

  #avoidedNow(): ReadonlySet<PeerId> {
    const nowMs = this.#deps.nowMs();
    for (const [peerId, untilMs] of this.#avoided) if (untilMs < nowMs) this.#avoided.delete(peerId);
    return new Set(this.#avoided.keys());
  }
}
