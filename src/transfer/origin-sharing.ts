/** How the pieces that a node reads from the origin become known: signed in batches, told to one peer at a time. */
import { PIECE_HASH_BYTES } from '../content/geometry.ts';
import type { LinkIdentity } from '../swarm/link/handshake.ts';
import type { PeerId } from '../swarm/member.ts';
import type { Channel } from './channel.ts';
import type { Exchange } from './exchange.ts';
import { RevealPlan } from './reveal-plan.ts';
import { makeStatement } from './statement.ts';

export class OriginSharing {
  readonly #exchange: Exchange;
  readonly #identity: LinkIdentity;
  readonly #home: () => PeerId | undefined;
  readonly #nowMs: () => number;
  readonly #plan = new RevealPlan<Channel>();

  /** @param deps `home` reads the origin for all, where that is not this node */
  constructor(deps: {
    exchange: Exchange;
    identity: LinkIdentity;
    home: () => PeerId | undefined;
    nowMs: () => number;
  }) {
    this.#exchange = deps.exchange;
    this.#identity = deps.identity;
    this.#home = deps.home;
    this.#nowMs = deps.nowMs;
  }

  /** Pieces from `first` on were read and kept: their hashes are this node's word. */
  onBatch(first: number, hashes: Buffer): void {
    const { digest, geometry, map, local } = this.#exchange;
    if (geometry === undefined || map === undefined || local?.isComplete === true) return;
    const statement = makeStatement(this.#identity, { digest, sizeBytes: geometry.sizeBytes }, first, hashes);
    map.add(statement);
    this.#exchange.publish(statement);
    const end = first + hashes.length / PIECE_HASH_BYTES;
    for (let piece = first; piece < end; piece += 1) this.#reveal(piece);
  }

  /** A peer shows that it has pieces. */
  onHave(channel: Channel, pieces: readonly number[]): void {
    for (const piece of pieces) this.#plan.onHas(channel, piece);
  }

  /** A peer shows that it has everything. */
  onPeerComplete(): void {
    this.#plan.onComplete();
  }

  /** A peer asks for pieces of this node. */
  onWanted(channel: Channel, pieces: readonly number[]): void {
    this.#plan.onWanted(channel, pieces);
  }

  /** Pieces that were told to one peer were not seen at others yet. */
  get isSpreading(): boolean {
    return this.#plan.awaitedCount > 0;
  }

  /** Tells all of what was hidden from them, is not on its way to anybody, and is so rare as `isLost` says. */
  showHidden(isLost: (piece: number) => boolean): void {
    for (const piece of [...this.#exchange.hidden]) {
      if (!this.#plan.isAwaited(piece) && isLost(piece)) this.#exchange.announce(piece);
    }
  }

  /** A peer is gone: what only it was told is told to another. If it were told to all, all would ask this node for it. */
  onLeft(channel: Channel): void {
    for (const piece of this.#plan.remove(channel)) this.#reveal(piece);
  }

  /** What did not spread by itself is told to one other, and then to all. */
  tick(): void {
    for (const { piece, peer, next } of this.#plan.overdue(this.#nowMs())) {
      if (next === 'all') this.#exchange.announce(piece);
      else this.#reveal(piece, peer);
    }
  }

  /** Not to the home: it keeps quiet about what it gets from others while it reads, and its link is for what it reads. */
  #reveal(piece: number, except?: Channel): void {
    const home = this.#home();
    const lacking = [...this.#exchange.channels.values()].filter(
      (channel) => channel.isJoined && channel !== except && !channel.remoteHas(piece) && channel.link.peerId !== home,
    );
    const chosen = this.#plan.choose(piece, lacking, this.#nowMs());
    this.#exchange.announce(piece, chosen);
  }
}
