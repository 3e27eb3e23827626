/** In which order members are probed, and how some are drawn at random, without looking through all. */
import type { PeerId } from './member.ts';
import { shuffled } from './shuffle.ts';

export class MemberOrder {
  readonly #random: () => number;
  /** In any order, to draw from. */
  #ids: PeerId[] = [];
  /** What is left of this round, the next last. */
  #round: PeerId[] = [];

  /** @param random uniform in [0, 1) */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** A new member is probed somewhere within this round, so that joining does not make all probe it at once. */
  add(peerId: PeerId): void {
    this.#ids.push(peerId);
    this.#round.splice(Math.floor(this.#random() * (this.#round.length + 1)), 0, peerId);
  }

  remove(peerId: PeerId): void {
    this.#ids = this.#ids.filter((id) => id !== peerId);
  }

  /** The next of those that fit: each once per round, in an order shuffled for each round. */
  next(fits: (peerId: PeerId) => boolean): PeerId | undefined {
    for (let round = 0; round < 2; round += 1) {
      for (let peerId = this.#round.pop(); peerId !== undefined; peerId = this.#round.pop()) {
        if (fits(peerId)) return peerId;
      }
      this.#round = shuffled([...this.#ids], this.#random);
    }
    return undefined;
  }

  /** Up to `count` of those that fit, at random. */
  draw(count: number, fits: (peerId: PeerId) => boolean): PeerId[] {
    const drawn = new Set<PeerId>();
    // Drawing a few is quick where most fit; where they do not, or many are wanted, all are looked through.
    for (let tries = 8 * count; tries > 0 && drawn.size < count && count * 8 < this.#ids.length; tries -= 1) {
      const peerId = this.#ids[Math.floor(this.#random() * this.#ids.length)];
      if (peerId !== undefined && fits(peerId)) drawn.add(peerId);
    }
    if (drawn.size === count) return [...drawn];
    return shuffled(this.#ids.filter(fits), this.#random).slice(0, count);
  }
}
