/** Addresses of peers as they stand in compact answers. @see BEP 23, BEP 7 */
import { isIPv4, isIPv6 } from 'node:net';

const MAPPED = '::ffff:';

/** The address without the form that IPv4 has on a socket of both families, and without the name of an interface. */
export function plainHost(host: string): string {
  const unmapped = host.startsWith(MAPPED) && host.includes('.') ? host.slice(MAPPED.length) : host;
  const zone = unmapped.indexOf('%');
  return zone === -1 ? unmapped : unmapped.slice(0, zone);
}

/** Address and port: 6 bytes for IPv4, 18 for IPv6; `undefined` for what is no address. `host` is plain. */
export function packAddress(host: string, port: number): Buffer | undefined {
  if (isIPv4(host)) {
    const packed = Buffer.allocUnsafe(6);
    host.split('.').forEach((part, index) => packed.writeUInt8(Number(part), index));
    packed.writeUInt16BE(port, 4);
    return packed;
  }
  if (!isIPv6(host)) return undefined;
  const packed = Buffer.alloc(18);
  const [head = '', tail] = host.split('::');
  const before = groupsOf(head);
  const after = groupsOf(tail ?? '');
  before.forEach((group, index) => packed.writeUInt16BE(group, 2 * index));
  after.forEach((group, index) => packed.writeUInt16BE(group, 2 * (8 - after.length + index)));
  packed.writeUInt16BE(port, 16);
  return packed;
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

/** The host of a packed address as text. */
export function hostOf(packed: Buffer): string {
  if (packed.length === 6) return packed.subarray(0, 4).join('.');
  return Array.from({ length: 8 }, (_, index) => packed.readUInt16BE(2 * index).toString(16)).join(':');
}

/** True for an address of this machine alone. `host` is plain. */
export function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

/**
 * Whose limits an address counts towards: all of a /64 belongs to one owner. This machine has none: what comes from it may
 * come through a proxy from anyone. `host` is plain.
 */
export function limitKeyOf(host: string): string | undefined {
  if (isLoopback(host)) return undefined;
  if (!host.includes(':')) return host;
  const packed = packAddress(host, 0);
  return packed === undefined ? host : packed.toString('latin1', 0, 8);
}
