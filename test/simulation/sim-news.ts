/** How one simulated journey tells of its pieces: what stands in the place of `PeerNews`. */
import { newsDelayMs } from '../../src/transfer/peer-news.ts';
import type { SimChannel } from './sim-channel.ts';
import type { SimJourney } from './sim-journey.ts';
import { EVENT, MESSAGE_BYTES, type World } from './world.ts';

export class SimNews {
  readonly #world: World;
  readonly #journey: SimJourney;
  #flushedAtMs = -Infinity;
  #dueAtMs = Infinity;
  #forAll: number[] = [];
  /** What was told to one peer only. */
  readonly #hidden = new Set<number>();
  #forOne: { channel: SimChannel; piece: number }[] = [];

  constructor(world: World, journey: SimJourney) {
    this.#world = world;
    this.#journey = journey;
  }

  /** A piece is held, and nobody is told of it before `announce`. */
  hide(piece: number): void {
    this.#hidden.add(piece);
  }

  /** Pieces that were hidden and never told to all. */
  get hidden(): ReadonlySet<number> {
    return this.#hidden;
  }

  announce(piece: number, only: SimChannel | undefined): void {
    if (only === undefined) {
      this.#forAll.push(piece);
      this.#hidden.delete(piece);
    } else {
      this.#forOne.push({ channel: only, piece });
      this.#hidden.add(piece);
    }
    const nowMs = this.#world.nowMs();
    const atMs = nowMs + newsDelayMs(only !== undefined, nowMs - this.#flushedAtMs);
    if (atMs >= this.#dueAtMs) return;
    this.#dueAtMs = atMs;
    this.#world.events.push(atMs, EVENT.flushHaves, this.#journey.id, 0);
  }

  /** Whether a newcomer is told of a piece that is held. */
  showsToNewcomers(piece: number): boolean {
    return this.#journey.isTold || !this.#hidden.has(piece);
  }

  flush(): void {
    const { events, lists, scenario } = this.#world;
    // It was sent with news that had to go sooner.
    if (this.#dueAtMs > this.#world.nowMs()) return;
    this.#dueAtMs = Infinity;
    this.#flushedAtMs = this.#world.nowMs();
    const arrivalMs = this.#world.nowMs() + scenario.latencyMs;
    if (this.#forAll.length > 0) {
      // One event for all peers: the ways are equally long.
      events.push(arrivalMs, EVENT.haves, this.#journey.id, lists.put(this.#forAll));
      this.#forAll = [];
    }
    for (const { channel, piece } of this.#forOne) {
      this.#journey.countMessages(1);
      events.call(arrivalMs, () => {
        if (channel.twin?.isOpen === true) channel.twin.owner.onHaves(channel.twin, [piece]);
      });
    }
    this.#forOne = [];
  }

  /** What was told to all has come to them. */
  deliver(pieces: readonly number[]): void {
    let messageCount = 0;
    let hashCount = 0;
    for (const channel of this.#journey.channels) {
      const { twin } = channel;
      if (twin?.isOpen !== true || channel.remoteComplete) continue;
      const lacking = twin.newsOf(pieces, channel);
      if (lacking.length === 0) continue;
      messageCount += 1;
      const { owner } = twin;
      let asked = 0;
      for (const piece of lacking) if (owner.known.add(piece)) asked += 1;
      // Who does not know the hashes asks for them.
      if (asked > 0) messageCount += 1;
      hashCount += asked;
      owner.onNews(twin, lacking);
    }
    this.#journey.countMessages(messageCount, MESSAGE_BYTES);
    this.#world.links.spend(this.#journey.node.index, hashCount * this.#world.hashBytesPerPiece);
  }
}
