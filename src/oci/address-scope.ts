/**
 * Where an answer may send this node. Redirects, token realms and web seeds are input from outside: without a guard they would
 * turn the node into a way into the operator's network, or hand credentials to strangers.
 * @see CVE-2026-33540; RFC 6890 for the special addresses
 */
import { BlockList, isIP } from 'node:net';

const privateAddresses = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  privateAddresses.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['::', 127],
  ['64:ff9b:1::', 48],
  ['fc00::', 7],
  ['ff00::', 8],
] as const) {
  privateAddresses.addSubnet(network, prefix, 'ipv6');
}

const linkLocalAddresses = new BlockList();
linkLocalAddresses.addSubnet('169.254.0.0', 16, 'ipv4');
linkLocalAddresses.addSubnet('fe80::', 10, 'ipv6');

/** How far an address reaches. Link-local ones are apart, because cloud metadata services live there. */
export type AddressScope = 'public' | 'private' | 'link-local';

/** An IPv4 address that stands inside an IPv6 one by translation (NAT64, 6to4), else `undefined`. */
function embeddedIpv4(address: string): string | undefined {
  const hostname = URL.parse(`http://[${address}]/`)?.hostname ?? '';
  const match = /^\[(?:64:ff9b::|2002:)([0-9a-f]{1,4}):([0-9a-f]{1,4})(?:::?.*)?\]$/.exec(hostname);
  if (match === null) return undefined;
  const [high, low] = [Number.parseInt(match[1] ?? '0', 16), Number.parseInt(match[2] ?? '0', 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** The scope of an IP address. BlockList itself sees through IPv4-mapped IPv6 addresses. */
export function addressScope(address: string): AddressScope {
  const bare = address.replace(/%.*$/, '');
  const family = isIP(bare) === 6 ? 'ipv6' : 'ipv4';
  const embedded = family === 'ipv6' ? embeddedIpv4(bare) : undefined;
  if (embedded !== undefined && addressScope(embedded) !== 'public') return addressScope(embedded);
  if (linkLocalAddresses.check(bare, family)) return 'link-local';
  return privateAddresses.check(bare, family) ? 'private' : 'public';
}

/** A URL's host without brackets and final dot, in lower case. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

/** The IP address that a URL names as its host, if it names one. The URL parser has resolved decimal and octal forms. */
export function literalAddress(url: URL): string | undefined {
  const host = bareHost(url);
  return isIP(host) === 0 ? undefined : host;
}
