/**
 * One side of a channel between two simulated nodes: what stands in the place of `Channel` and its `Link`. The other side is
 * its `twin`. It has the fields that HolderPool and the rules about silent peers look at.
 */
import { HolderPace } from '../../src/transfer/holder-pace.ts';
import type { SimJourney } from './sim-journey.ts';
import type { SimNode } from './sim-node.ts';
import type { ToldBits } from './told-bits.ts';

/** Bytes that nodes ask of one holder at once, as their configuration has it. */
const MAX_WINDOW_BYTES = 4 * 1024 * 1024;

const NOTHING: readonly number[] = [];

export class SimChannel {
  readonly id: number;
  readonly owner: SimJourney;
  readonly peer: SimNode;
  readonly pace: HolderPace;
  readonly openedAtMs: number;
  readonly isJoined = true;
  readonly isDisputing = false;
  readonly link: { readonly peerId: string; readonly lastHeardAtMs: number; ping(): void };
  /** What the peer has told that it has. */
  readonly #told: ToldBits;
  #toldCount = 0;
  /** What was asked of the peer and has not come. */
  readonly asked = new Set<number>();
  /** What the peer has asked for and was not begun to be sent. */
  readonly wants: number[] = [];
  /** It has a turn on its node's uplink. */
  hasTurn = false;
  remoteComplete = false;
  isOpen = true;
  twin: SimChannel | undefined;

  constructor(id: number, owner: SimJourney, peer: SimNode, told: ToldBits, nowMs: () => number) {
    this.id = id;
    this.owner = owner;
    this.peer = peer;
    this.openedAtMs = nowMs();
    this.pace = new HolderPace(this.openedAtMs, MAX_WINDOW_BYTES);
    this.#told = told;
    this.link = {
      peerId: peer.member.peerId,
      get lastHeardAtMs() {
        return peer.silentSinceMs ?? nowMs();
      },
      ping: () => undefined,
    };
  }

  /** The peer has told of at least one piece. */
  get remoteHasAny(): boolean {
    return this.remoteComplete || this.#toldCount > 0;
  }

  get owes(): boolean {
    return this.asked.size > 0;
  }

  remoteHas(piece: number): boolean {
    return this.remoteComplete || this.#told.has(this.id, piece);
  }

  /** The peer tells of pieces; answers those that were not known. Its own side says what it need not tell. */
  newsOf(pieces: readonly number[], side?: SimChannel): readonly number[] {
    let news: number[] | undefined;
    for (const piece of pieces) {
      if (side?.remoteHas(piece) === true || !this.setRemoteHas(piece)) continue;
      if (news === undefined) news = [piece];
      else news.push(piece);
    }
    return news ?? NOTHING;
  }

  /** The peer tells that it has a piece; false when that was known. */
  setRemoteHas(piece: number): boolean {
    if (this.remoteComplete || !this.#told.add(this.id, piece)) return false;
    this.#toldCount += 1;
    if (this.#toldCount === this.owner.geometry.pieceCount) this.remoteComplete = true;
    return true;
  }
}
