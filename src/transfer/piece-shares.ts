/**
 * How those who lack a blob share out what only complete holders have, so that no two of them ask for the same piece and its
 * holder's link carries each piece once: every piece falls to one of them by rendezvous hashing, which all reckon alike
 * without a word, as with homes of blobs (`rankHomes`), only for every piece and so at the cost of a few multiplications. Pure.
 */
import { mixBits } from '../swarm/home.ts';
import type { PeerId } from '../swarm/member.ts';

/** Whom a piece falls to. */
export class PieceShares {
  readonly #ownSeed: number;
  #seeds: number[] = [];

  constructor(self: PeerId) {
    this.#ownSeed = seedOf(self);
  }

  /** Who else lacks pieces. */
  setOthers(peerIds: Iterable<PeerId>): void {
    this.#seeds = [...peerIds].map(seedOf);
  }

  /** Whether a piece falls to this node. */
  isOwn(piece: number): boolean {
    const own = score(this.#ownSeed, piece);
    for (const seed of this.#seeds) {
      const other = score(seed, piece);
      if (other > own || (other === own && seed > this.#ownSeed)) return false;
    }
    return true;
  }
}

/** FNV-1a of the name. */
function seedOf(peerId: PeerId): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < peerId.length; at += 1) hash = Math.imul(hash ^ peerId.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/** Neighbouring pieces fall to different nodes. */
function score(seed: number, piece: number): number {
  return mixBits(seed ^ Math.imul(piece + 1, 0x9e3779b1));
}
