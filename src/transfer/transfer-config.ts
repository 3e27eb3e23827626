/** The limits of the transfer layer. Defaults and bounds stand in the node's configuration schema. */
export interface TransferConfig {
  /** A holder that owes pieces and sends nothing for so long is replaced. */
  readonly stallTimeoutMs: number;
  /** For an answer of a home or a holder; after it the next one is asked. */
  readonly askTimeoutMs: number;
  /** Blobs up to this size travel whole in one answer, without piece map and channel. */
  readonly inlineMaxBytes: number;
  /** Holders that a journey keeps channels to at once. */
  readonly maxHolders: number;
  /** Nodes that read one blob from the origin at once, where one is too slow. */
  readonly maxOriginReaders: number;
  /** Bytes asked of one holder at once, at most. */
  readonly maxWindowBytes: number;
  /** Verified pieces kept in memory for readers and peers, over all journeys. */
  readonly recentPiecesBytes: number;
  /** Peers that are served at once; others are told to ask elsewhere. */
  readonly uploadSlots: number;
  /** Pieces that one peer may have asked for and not yet received. */
  readonly uploadQueuePieces: number;
  /** Bytes per second sent to peers, 0 for no limit. */
  readonly uploadRateBytesPerSecond: number;
  /** Bytes per second taken from peers and origins, 0 for no limit. */
  readonly downloadRateBytesPerSecond: number;
  /** How long a peer that lied is left alone. */
  readonly banMs: number;
  /** A journey without readers goes on for so long before it stops; what it has is kept. */
  readonly lingerMs: number;
}
