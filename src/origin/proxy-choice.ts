/** Which proxy to reach a URL by: the rules of HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as a pure function. */
import { BlockList, isIP } from 'node:net';
import { bareHost } from '../oci/address-scope.ts';
import type { ProxyConfig } from './upstream-config.ts';

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/** The proxy's URL, or `undefined` for a direct connection. */
export function proxyFor(url: URL, config: ProxyConfig): string | undefined {
  const proxy = url.protocol === 'https:' ? config.httpsProxy : config.httpProxy;
  if (proxy === '') return undefined;
  const host = bareHost(url);
  const port = url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? '') : url.port;
  const entries = config.noProxy.split(/[\s,]+/).filter((entry) => entry !== '');
  if (entries.some((entry) => matchesEntry(entry.toLowerCase(), host, port))) return undefined;
  return proxy;
}

function matchesEntry(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const network = /^(.+)\/(\d{1,3})$/.exec(entry);
  if (network !== null) return isInNetwork(host, network[1] ?? '', Number(network[2]));
  const { entryHost, entryPort } = splitPort(entry);
  if (entryPort !== undefined && entryPort !== port) return false;
  if (isIP(host) !== 0) return host === entryHost;
  const domain = entryHost.replace(/^\*?\./, '').replace(/\.$/, '');
  if (domain === '') return false;
  const isSubdomain = host.endsWith(`.${domain}`);
  return entryHost.startsWith('*.') ? isSubdomain : isSubdomain || host === domain;
}

function splitPort(entry: string): { entryHost: string; entryPort: string | undefined } {
  const bracketed = /^\[(.+)\](?::(\d+))?$/.exec(entry);
  if (bracketed !== null) return { entryHost: bracketed[1] ?? '', entryPort: bracketed[2] };
  const named = /^([^:]+):(\d+)$/.exec(entry);
  if (named !== null) return { entryHost: named[1] ?? '', entryPort: named[2] };
  return { entryHost: entry, entryPort: undefined };
}

function isInNetwork(host: string, network: string, prefix: number): boolean {
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family || prefix > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, prefix, family === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
