/** Asking other nodes: the homes of a digest, one after the other, and links to holders. */
import { rankHomes } from '../swarm/home.ts';
import type { LinkNetwork } from '../swarm/link/link-network.ts';
import type { LinkMessage } from '../swarm/link/link-message.ts';
import type { Link } from '../swarm/link/link.ts';
import type { Member, MemberDirectory, PeerId } from '../swarm/member.ts';
import { isDockyardError } from '../oci/error.ts';
import { TimeLimit } from '../oci/time-limit.ts';
import type { Digest } from '../oci/digest.ts';
import type { HolderAddress } from './locate.ts';
import { isFar, nearness } from './nearness.ts';

/** How many nodes are tried as home before it is given up. */
const HOME_CANDIDATES = 3;

export interface PeersDeps {
  readonly members: MemberDirectory;
  readonly links: LinkNetwork;
}

export class Peers {
  readonly #deps: PeersDeps;
  readonly #askTimeoutMs: number;

  constructor(deps: PeersDeps, config: { askTimeoutMs: number }) {
    this.#deps = deps;
    this.#askTimeoutMs = config.askTimeoutMs;
  }

  get self(): Member {
    return this.#deps.members.self;
  }

  /** Live members closest to a digest, this node perhaps among them, without those named. */
  homes(digest: Digest, except: ReadonlySet<PeerId> = new Set(), count: number = HOME_CANDIDATES): Member[] {
    return rankHomes(digest, this.#deps.members.alive(), count + except.size)
      .filter((member) => !except.has(member.peerId))
      .slice(0, count);
  }

  /** Where a member can be reached, or undefined when it is not known. */
  addressOf(peerId: PeerId): HolderAddress | undefined {
    const member = this.#deps.members.get(peerId);
    return member === undefined ? undefined : { peerId, addresses: member.dataAddresses };
  }

  /** How many labels of its place a member shares with another one. */
  nearness(a: PeerId, b: PeerId): number {
    return nearness(this.#topologyOf(a), this.#topologyOf(b));
  }

  /** Whether a member stands in another zone than this node. */
  isFar(peerId: PeerId): boolean {
    return isFar(this.self.topology, this.#topologyOf(peerId));
  }

  /** @throws {DockyardError} ERR_LINK_FAILED, ERR_LINK_REFUSED */
  async link(
    holder: { peerId?: PeerId | undefined; addresses: HolderAddress['addresses'] },
    signal?: AbortSignal,
  ): Promise<Link> {
    return await this.#deps.links.connect(holder, { signal });
  }

  /** Dials the peer of a link back, if it is a member: pieces come cheaper over a link that this side dialled. */
  dialBack(link: Link): void {
    const address = this.addressOf(link.peerId);
    if (address !== undefined) this.#deps.links.dialBack(link, address.addresses);
  }

  /**
   * Asks one member. A member that cannot be reached or does not answer in time is reported as such.
   * @throws {DockyardError} ERR_LINK_TIMEOUT, ERR_LINK_FAILED, or what the member answers
   */
  async ask(
    member: { peerId: PeerId; dataAddresses: Member['dataAddresses'] },
    method: string,
    value: unknown,
    options: { signal?: AbortSignal | undefined; timeoutMs?: number; bytes?: Uint8Array } = {},
  ): Promise<LinkMessage> {
    let link: Link;
    const timeoutMs = options.timeoutMs ?? this.#askTimeoutMs;
    using limit = new TimeLimit(timeoutMs, options.signal);
    try {
      link = await this.#deps.links.connect({ peerId: member.peerId, addresses: member.dataAddresses }, limit);
    } catch (error) {
      if (options.signal?.aborted !== true) this.#deps.members.reportUnreachable(member.peerId);
      throw error;
    }
    try {
      return await link.request(method, value, { ...options, timeoutMs });
    } catch (error) {
      const isSilent = link.isClosed || isDockyardError(error, 'ERR_LINK_TIMEOUT');
      if (isSilent && options.signal?.aborted !== true) this.#deps.members.reportUnreachable(member.peerId);
      throw error;
    }
  }

  #topologyOf(peerId: PeerId): string {
    return peerId === this.self.peerId ? this.self.topology : (this.#deps.members.get(peerId)?.topology ?? '');
  }
}
