/** What a journey does about peers that lie or stall: each is named in the log, counted, and not tried again for a while. */
import type { Logger } from 'pino';
import type { PeerId } from '../swarm/member.ts';
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

  /** The whole does not have its digest. Of several authors it is not known whose word was false: none is banned. */
  onFalseMap(authors: readonly PeerId[], self: PeerId): void {
    const { hunt, log, exchange, metrics } = this.#deps;
    log.warn({ digest: exchange.digest, authors }, 'the whole does not have its digest: its piece map was false');
    metrics.onFalseMap();
    for (const author of authors) if (author !== self) hunt.avoid(author);
    if (authors.length === 1 && authors[0] !== undefined) this.#ban(authors[0], 'false-map');
  }

  #ban(peerId: PeerId, reason: 'wrong-piece' | 'false-map'): void {
    const { exchange, hub } = this.#deps;
    const link = [...exchange.channels.keys()].find((candidate) => candidate.peerId === peerId);
    if (link !== undefined) hub.ban(link, reason);
  }
}
