/** What clients say to a tracker and what it answers, whatever the protocol. */
import type { ListedPeer } from './peer-list.ts';

/** What an announce tells of its sender. `update` stands for none of the others. @see BEP 3; BEP 21 for `paused` */
export type AnnounceEvent = 'started' | 'update' | 'completed' | 'paused' | 'stopped';

/** Over what a request came. */
export type TrackerProtocol = 'http' | 'udp';

/** One announce, read and checked. */
export interface Announce {
  /** 40 hexadecimal digits, small. */
  readonly infoHash: string;
  /** 20 bytes. */
  readonly peerId: Uint8Array;
  /** Address and port, packed. */
  readonly address: Buffer;
  readonly event: AnnounceEvent;
  readonly isComplete: boolean;
  /** How many peers the answer should hold at most. */
  readonly wantedPeers: number;
  /** By which a holder of the swarm key vouches for the info-hash. */
  readonly proof?: string | undefined;
}

/** What is answered to an announce. */
export interface AnnounceAnswer {
  readonly complete: number;
  readonly incomplete: number;
  /** Valid until the next announce. */
  readonly peers: readonly ListedPeer[];
  readonly peers6: readonly ListedPeer[];
}

/** What is answered to a scrape, of one torrent. */
export interface ScrapeAnswer {
  readonly complete: number;
  readonly incomplete: number;
  /** How often a client said that it had completed the torrent. */
  readonly downloaded: number;
}

/** Peers of one answer at most: as many as others give, and as fit into a datagram of 576 bytes. */
export const MAX_ANSWERED_PEERS = 82;

/** Peers of an answer to who does not say how many. */
export const USUAL_ANSWERED_PEERS = 50;

/** Why a request is refused, as it is counted. */
export type RefusalKind = 'malformed' | 'closed' | 'limited' | 'full';

/** A refusal: the message goes to the client. */
export class Refusal extends Error {
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind, message: string) {
    super(message);
    this.kind = kind;
  }
}
