/** Addresses of the form HOST:PORT: reading, writing, and what this machine's own are. */
import { isIP } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import { swarmError } from './errors.ts';
import type { SocketAddress } from './member.ts';

/** More addresses than this are not announced: each costs a peer a dial before the next is tried. */
export const MAX_ANNOUNCED_ADDRESSES = 8;

/** Names of interfaces that containers and virtual machines use: every host has the same addresses there. */
const HOST_LOCAL_INTERFACE =
  /^(?:docker|br-|veth|virbr|cni|cali|flannel|lxc|lxd|podman|vmnet|vboxnet|kube|nodelocaldns)/;

/** A host name by the rules of RFC 1123; underscores are allowed because name services of containers use them. */
const HOST_NAME =
  /^(?=.{1,253}$)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?(?:\.[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*\.?$/;

/**
 * Reads `host:port`, `192.0.2.1:5002` or `[2001:db8::1]:5002`.
 * @throws {DockyardError} ERR_SWARM_ADDRESS_INVALID
 */
export function parseSocketAddress(text: string): SocketAddress {
  const match = /^(?:\[(?<six>[^\]]+)\]|(?<host>[^:[\]]+)):(?<port>\d{1,5})$/.exec(text);
  const host = match?.groups?.['six'] ?? match?.groups?.['host'];
  const port = Number(match?.groups?.['port']);
  const bracketed = match?.groups?.['six'] !== undefined;
  const hostIsRight = host !== undefined && (bracketed ? isIP(host) === 6 : isHost(host));
  if (hostIsRight && port <= 65_535) return { host, port };
  throw swarmError('ERR_SWARM_ADDRESS_INVALID', `'${text.slice(0, 300)}' is not an address of the form HOST:PORT`);
}

/** True for an IP address, or a host name in the letter. */
export function isHost(host: string): boolean {
  return isIP(host) !== 0 || (HOST_NAME.test(host) && !/^[\d.]+$/.test(host));
}

/** The text form that `parseSocketAddress` reads. */
export function formatSocketAddress(address: SocketAddress): string {
  return isIP(address.host) === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True when only this machine can reach the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** True for `0.0.0.0` and `::`, which stand for all addresses of this machine. */
export function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/**
 * The hosts under which a listener on `listenHost` is reached, best first: those of real interfaces, then those of
 * container bridges, and loopback when there is nothing else.
 */
export function announcedHosts(listenHost: string, interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string[] {
  if (!isUnspecified(listenHost)) return [listenHost === 'localhost' ? '127.0.0.1' : listenHost];
  const real: string[] = [];
  const hostLocal: string[] = [];
  for (const [name, infos] of Object.entries(interfaces)) {
    for (const info of infos ?? []) {
      if (!isAnnounceable(info, listenHost)) continue;
      (HOST_LOCAL_INTERFACE.test(name) ? hostLocal : real).push(info.address);
    }
  }
  const hosts = [...new Set([...real, ...hostLocal])].slice(0, MAX_ANNOUNCED_ADDRESSES);
  return hosts.length > 0 ? hosts : [listenHost === '::' ? '::1' : '127.0.0.1'];
}

function isAnnounceable(info: NetworkInterfaceInfo, listenHost: string): boolean {
  if (info.internal) return false;
  if (info.family === 'IPv4') return !info.address.startsWith('169.254.');
  // Link-local addresses mean nothing without the name of an interface.
  return listenHost === '::' && !info.address.startsWith('fe80:');
}
