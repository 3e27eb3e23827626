/** Which nodes a person means. Pure. */
import type { Member, SocketAddress } from '../swarm/member.ts';
import { transferError } from './errors.ts';

/** Fewer characters of an id may be those of many. */
const MIN_ID_LENGTH = 6;

/**
 * The nodes of these names, each once; all when no name is given. A name is an address (`10.0.0.3`, `10.0.0.3:5003`), an id or
 * its beginning or end, or a place (`zone-a`, and all that is in it).
 * @throws {DockyardError} ERR_PREHEAT_NODE_UNKNOWN
 */
export function chooseNodes(alive: readonly Member[], names: readonly string[]): Member[] {
  if (names.length === 0) return [...alive];
  const chosen = new Set<Member>();
  for (const name of names) {
    const found = alive.filter((member) => isNamed(member, name));
    if (found.length === 0) throw transferError('ERR_PREHEAT_NODE_UNKNOWN', `no live node is called '${name}'`);
    for (const member of found) chosen.add(member);
  }
  return [...chosen];
}

function isNamed({ peerId, dataAddresses, topology }: Member, name: string): boolean {
  if (name.length >= MIN_ID_LENGTH && (peerId.startsWith(name) || peerId.endsWith(name))) return true;
  if (topology !== '' && (topology === name || topology.startsWith(`${name}/`))) return true;
  return dataAddresses.some((address) => address.host === name || formatAddress(address) === name);
}

/** `10.0.0.3:5003`, `[::1]:5003` */
export function formatAddress({ host, port }: SocketAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
