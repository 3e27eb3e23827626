/** What a journey does about peers that lie or stall: each is named in the log, counted, and not tried again for a while. */
import type { Logger } from 'pino';
import type { LinkIdentity } from '../swarm/link/handshake.ts';
import type { PeerId } from '../swarm/member.ts';
import type { Channel } from './channel.ts';
import { transferError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { ExchangeHub } from './exchange-hub.ts';
import type { HolderHunt } from './holder-hunt.ts';
import type { PullRecorder } from './pull-report.ts';
import type { TransferMetrics } from './transfer-metrics.ts';

export interface SuspectsDeps {
  readonly exchange: Exchange;
  readonly hub: ExchangeHub;
  readonly hunt: HolderHunt;
  readonly recorder: PullRecorder;
  readonly metrics: TransferMetrics;
  readonly log: Logger;
  readonly identity: LinkIdentity;
  /** A peer is left, of whom nothing more is asked. */
  readonly onLeave: (channel: Channel) => void;
}

export class Suspects {
  readonly #deps: SuspectsDeps;

  constructor(deps: SuspectsDeps) {
    this.#deps = deps;
  }

  /** A peer sent a piece that is not what the map says; `isProven` when it never said that it goes by another map. */
  onLie(peerId: PeerId, piece: number, isProven: boolean): void {
    const { hunt, log, exchange } = this.#deps;
    hunt.avoid(peerId);
    const what = isProven ? 'a peer sent a wrong piece' : 'a peer goes by another piece map: one of the two is false';
    log.warn({ peer: peerId, digest: exchange.digest, piece }, what);
    if (isProven) this.#ban(peerId, 'wrong-piece');
  }

  /** A holder was given up because nothing came for `waitedMs`. */
  onStall(peerId: PeerId, waitedMs: number): void {
    const { hunt, log, exchange, metrics, recorder } = this.#deps;
    recorder.lostMs += waitedMs;
    metrics.onStall();
    hunt.avoid(peerId);
    log.info({ peer: peerId, digest: exchange.digest, waitedMs }, 'a holder stalled and was replaced');
  }

  /**
   * The whole does not have its digest: who answered for it is not listened to, and everybody is left. Of several authors it
   * is not known whose word was false: none is banned.
   * @throws {DockyardError} ERR_TRANSFER_CORRUPT when nobody but the origin had a part in it
   */
  onFalseMap(): void {
    const { exchange, hunt, identity, log, metrics, recorder } = this.#deps;
    const authors = [...(exchange.map?.authors ?? [])];
    const foreign = authors.filter((author) => author !== identity.peerId);
    if (foreign.length === 0 && recorder.localBytes === 0) {
      throw transferError(
        'ERR_TRANSFER_CORRUPT',
        `what the origin gives for ${exchange.digest} does not have this digest`,
      );
    }
    recorder.localBytes = 0;
    log.warn({ digest: exchange.digest, authors }, 'the whole does not have its digest: its piece map was false');
    metrics.onFalseMap();
    for (const author of foreign) hunt.avoid(author);
    if (authors.length === 1 && authors[0] !== undefined) this.#ban(authors[0], 'false-map');
    exchange.map?.restart(foreign);
    for (const channel of [...exchange.channels.values()]) {
      this.#deps.onLeave(channel);
      exchange.leave(channel, 'failed');
    }
  }

  #ban(peerId: PeerId, reason: 'wrong-piece' | 'false-map'): void {
    const { exchange, hub } = this.#deps;
    const link = [...exchange.channels.keys()].find((candidate) => candidate.peerId === peerId);
    if (link !== undefined) hub.ban(link, reason);
  }
}
