/** Members of the swarm, as the layers above see them. */

/** A libp2p peer id in its text form (`12D3KooW…`). */
export type PeerId = string;

/** A host and port that can be dialled. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** A node of the swarm. */
export interface Member {
  readonly peerId: PeerId;
  /** Where its data plane listens, best first. */
  readonly dataAddresses: readonly SocketAddress[];
  /** The operator's label for where it stands (`zone-a/rack-7`); empty when unset. */
  readonly topology: string;
}

/** Who is in the swarm now. Answers come from memory. */
export interface MemberDirectory {
  readonly self: Member;
  /** All members thought alive, this node included. */
  alive(): readonly Member[];
  get(peerId: PeerId): Member | undefined;
  /** Tells that a member could not be reached, or did not answer in time; it may be asked again after a while. */
  reportUnreachable(peerId: PeerId): void;
}

/** A second way to find holders: the DHT, a tracker. Slow, and never on the path of a pull that has other sources. */
export interface HolderDiscovery {
  readonly name: string;
  /** Tells that this node holds (pieces of) the blob whose SHA-256 key is given. Repeats by itself until withdrawn. */
  announce(key: Uint8Array): Promise<void>;
  withdraw(key: Uint8Array): Promise<void>;
  /** Holders, as they are found. `peerId` is absent where the source does not know it. */
  find(key: Uint8Array, options: { signal: AbortSignal }): AsyncIterable<{ peerId?: PeerId; address?: SocketAddress }>;
}
