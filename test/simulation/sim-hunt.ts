/** The search for holders of one simulated journey: what stands in the place of `HolderHunt`, `HolderSearch` and `HomeDesk`. */
import { isCrowded, isFull, soughtHolders } from '../../src/transfer/crowding.ts';
import { AVOID_MS } from '../../src/transfer/holder-hunt.ts';
import type { PeerId } from '../../src/swarm/member.ts';
import type { SimJourney } from './sim-journey.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';

/** Limits of HolderHunt, and of the nodes' configuration. */
const MAX_FAILED_HOMES = 2;
const ASK_TIMEOUT_MS = 1000;
/** Round trips until a new link is there: TCP, TLS, the proof of the swarm key. */
const DIAL_ROUND_TRIPS = 3;

export class SimHunt {
  readonly #world: World;
  readonly #journey: SimJourney;
  readonly #avoided = new Map<PeerId, number>();
  role: 'reader' | 'follower' = 'follower';
  home: PeerId | undefined;
  isHomeFar = false;
  isSearching = false;
  searchedAtMs: number | undefined;
  diallingCount = 0;
  #failedHomes = 0;
  #searchCount = 0;

  constructor(world: World, journey: SimJourney) {
    this.#world = world;
    this.#journey = journey;
  }

  avoid(peerId: PeerId): void {
    this.#avoided.set(peerId, this.#world.nowMs() + AVOID_MS);
  }

  onLeft(peerId: PeerId, reason: 'done' | 'failed' | 'closed'): void {
    if (reason !== 'done') this.avoid(peerId);
    if (peerId !== this.home) return;
    this.home = undefined;
    this.isHomeFar = false;
    if (reason === 'failed') this.#failedHomes += 1;
    if (this.#failedHomes < MAX_FAILED_HOMES) this.searchedAtMs = undefined;
    else this.role = 'reader';
  }

  askHomes(): void {
    this.isSearching = true;
    this.#searchCount += 1;
    this.#ask(this.#world.homes(this.#journey.digest, this.#avoidedNow()), 0, false);
  }

  #ask(homes: readonly SimNode[], at: number, isHome: boolean): void {
    const home = homes[at];
    const { node, digest } = this.#journey;
    if (home === undefined) {
      this.#settle('reader', undefined);
      return;
    }
    if (home === node) {
      const found = this.#holders(home, node);
      if (found.length > 0) {
        this.#meetAll(found);
        this.#settle('reader', undefined);
      } else this.#ask(homes, at + 1, true);
      return;
    }
    this.#journey.countMessages(1);
    const isReading = isHome || this.#journey.isReading;
    const wayMs = this.#wayMs(home) + this.#world.scenario.latencyMs;
    this.#world.events.call(this.#world.nowMs() + wayMs, () => {
      if (home.state === 'stopped') this.#later(ASK_TIMEOUT_MS, () => this.#ask(homes, at + 1, isHome));
      else if (!home.isAlive) this.#later(this.#world.scenario.latencyMs, () => this.#ask(homes, at + 1, isHome));
      else {
        home.note(digest, node, false, this.#world.nowMs());
        const answer = this.#answer(home, isReading);
        this.#later(this.#world.scenario.latencyMs, () => this.#onAnswer(home, answer, isHome));
      }
    });
  }

  /** What a home answers: who takes part, itself first; it begins to read where nobody does. */
  #answer(home: SimNode, isReading: boolean): SimNode[] {
    const { digest, node } = this.#journey;
    const holders = this.#holders(home, node);
    if (holders.length > 0 || isReading) return holders;
    this.#world.newJourney(home, digest).start();
    return this.#holders(home, node);
  }

  #holders(home: SimNode, asking: SimNode): SimNode[] {
    const { digest } = this.#journey;
    const { maxHolders } = this.#world.scenario;
    const chosen = this.#participants(home, asking);
    const own = home.journeys.get(digest);
    const hasEnough = isCrowded(own?.channels.length ?? 0, maxHolders);
    return home === asking || own === undefined || (hasEnough && chosen.length > 0) ? chosen : [home, ...chosen];
  }

  #participants(home: SimNode, asking: SimNode): SimNode[] {
    const { digest } = this.#journey;
    return home.table
      .participants(digest, asking.member.peerId, this.#world.nowMs(), this.#world.scenario.maxHolders)
      .flatMap(({ peerId }) => (peerId === home.member.peerId ? [] : (this.#world.nodeOf(peerId) ?? [])));
  }

  #onAnswer(home: SimNode, answer: readonly SimNode[], isHome: boolean): void {
    const avoided = this.#avoidedNow();
    this.isHomeFar = answer.length > 0 && !answer.includes(home) && home.journeys.has(this.#journey.digest);
    const holders = answer.filter((holder) => !avoided.has(holder.member.peerId));
    this.#meetAll(holders);
    if (isHome) this.#settle('reader', undefined);
    else this.#settle(holders.length > 0 ? 'follower' : 'reader', home.member.peerId);
  }

  #settle(role: 'reader' | 'follower', home: PeerId | undefined): void {
    this.role = role;
    this.home = home;
    this.isSearching = false;
    this.searchedAtMs = this.#world.nowMs();
    this.#journey.step();
  }

  #meetAll(holders: readonly SimNode[]): void {
    for (const holder of holders) this.#meet(holder);
  }

  #meet(holder: SimNode): void {
    const { channels, node } = this.#journey;
    const isKnown = holder === node || channels.some((channel) => channel.peer === holder);
    const most = soughtHolders(this.#searchCount, this.#world.scenario.maxHolders);
    if (isKnown || channels.length + this.diallingCount >= most) return;
    this.diallingCount += 1;
    const joinMs = 2 * this.#world.scenario.latencyMs;
    const failMs = holder.state === 'stopped' ? ASK_TIMEOUT_MS : 0;
    this.#later(this.#wayMs(holder) + joinMs + failMs, () => {
      this.diallingCount -= 1;
      const peer = holder.journeys.get(this.#journey.digest);
      if (!holder.isAlive || peer === undefined) this.avoid(holder.member.peerId);
      else if (!channels.some((channel) => channel.peer === holder)) this.#askJoin(peer);
      this.#journey.step();
    });
  }

  /** Whether the other one takes a further channel. */
  #isTaken(peer: SimJourney): boolean {
    return !isFull(peer.channels.length, this.#world.scenario.maxHolders);
  }

  #askJoin(peer: SimJourney): void {
    if (this.#isTaken(peer)) this.#join(peer);
    else if (peer.node.member.peerId === this.home) this.isHomeFar = true;
  }

  #join(peer: SimJourney): void {
    const [own, other] = this.#world.connect(this.#journey, peer);
    this.#journey.onOpened(own, peer);
    peer.onOpened(other, this.#journey);
  }

  /** Until a link is there: nothing where one is. */
  #wayMs(peer: SimNode): number {
    const isLinked = [...this.#journey.node.journeys.values()].some(({ channels }) =>
      channels.some((channel) => channel.peer === peer),
    );
    const isHome = peer.member.peerId === this.home;
    return isLinked || isHome ? 0 : DIAL_ROUND_TRIPS * 2 * this.#world.scenario.latencyMs;
  }

  #later(delayMs: number, action: () => void): void {
    this.#world.events.call(this.#world.nowMs() + delayMs, () => {
      if (this.#journey.node.isAlive) action();
    });
  }

  #avoidedNow(): ReadonlySet<PeerId> {
    const nowMs = this.#world.nowMs();
    for (const [peerId, untilMs] of this.#avoided) if (untilMs < nowMs) this.#avoided.delete(peerId);
    return new Set(this.#avoided.keys());
  }
}
