/** Host and port as people write them: `127.0.0.1:5000`, `[::1]:5000`, `node-1.lan:5002`. */
import { isIP, isIPv4, isIPv6 } from 'node:net';

/** Where to listen or dial. An IPv6 host stands here without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const NAME_PATTERN =
  /^(?=.{1,253}$)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?(?:\.[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$/;

/** Reads HOST:PORT, or answers `undefined` when `text` is none. Port 0 is a port: the system chooses. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain, digits] = match;
  const host = bracketed ?? plain ?? '';
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host, port } : undefined;
  return isHost(host) ? { host, port } : undefined;
}

/** True for an IP address without brackets or a host name. */
export function isHost(text: string): boolean {
  if (isIP(text) !== 0) return true;
  // A name of digits and dots alone is a mistyped IPv4 address.
  return NAME_PATTERN.test(text) && !/^[\d.]+$/.test(text);
}

/** The address as it stands in a URL. */
export function formatHostPort(address: HostPort): string {
  return isIPv6(address.host) ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True when only this machine can reach what listens there. */
export function isLoopbackHost(host: string): boolean {
  const address = host.startsWith('::ffff:') ? host.slice('::ffff:'.length) : host;
  return host === 'localhost' || host === '::1' || (isIPv4(address) && address.startsWith('127.'));
}

/** An address to call that stands for "all addresses" of this machine. */
export function reachable(address: HostPort): HostPort {
  if (address.host === '0.0.0.0') return { host: '127.0.0.1', port: address.port };
  return address.host === '::' ? { host: '::1', port: address.port } : address;
}
