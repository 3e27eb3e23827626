/** Between HOST:PORT and libp2p's multiaddrs. */
import { isIP } from 'node:net';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import type { PeerId, SocketAddress } from './member.ts';

/** `/ip4|ip6|dns/HOST/tcp/PORT`, with `/p2p/ID` when the peer is known. */
export function multiaddrOf(address: SocketAddress, peerId?: PeerId): Multiaddr {
  const kind = { 0: 'dns', 4: 'ip4', 6: 'ip6' }[isIP(address.host)] ?? 'dns';
  const host = address.host === 'localhost' ? '/ip4/127.0.0.1' : `/${kind}/${address.host}`;
  return multiaddr(`${host}/tcp/${address.port}${peerId === undefined ? '' : `/p2p/${peerId}`}`);
}

/** The host and TCP port of a multiaddr; `undefined` when it has none. */
export function addressOfMultiaddr(address: Multiaddr): SocketAddress | undefined {
  const components = address.getComponents();
  const host = components.find(({ name }) => name === 'ip4' || name === 'ip6' || name.startsWith('dns'))?.value;
  const port = Number(components.find(({ name }) => name === 'tcp')?.value);
  return host === undefined || Number.isNaN(port) ? undefined : { host, port };
}
