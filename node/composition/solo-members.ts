/** The swarm of a node that shares with nobody. */
import type { MemberDirectory, PeerId } from '../../src/swarm/member.ts';

/** A directory of this node alone. */
export function soloMembers(peerId: PeerId): MemberDirectory {
  const self = { peerId, dataAddresses: [], topology: '' };
  return {
    self,
    alive: () => [self],
    get: (asked) => (asked === peerId ? self : undefined),
    reportUnreachable: () => undefined,
  };
}
