/** The table of upstreams as the origin client wants it: files of passwords and certificates are read here. */
import {
  resolveUpstream,
  type OriginConfig,
  type ProxyConfig,
  type UpstreamConfig as OriginUpstream,
} from '../../src/origin/upstream-config.ts';
import type { NodeConfig, UpstreamConfig } from '../config/schema.ts';
import { readNamedSecret, readNamedText } from './named-file.ts';

/**
 * Reads what the configuration names.
 * @throws {DockyardError} ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_UPSTREAM_INVALID
 */
export async function originConfig(config: NodeConfig): Promise<OriginConfig> {
  const upstreams = await Promise.all(config.upstreams.map(readUpstream));
  return { upstreams, standIns: config.push.to, proxy: proxyConfig(config) };
}

/** The way out of the operator's network. */
export function proxyConfig({ proxy: { http, https, none } }: NodeConfig): ProxyConfig {
  return { httpProxy: http ?? '', httpsProxy: https ?? '', noProxy: none ?? '' };
}

async function readUpstream(upstream: UpstreamConfig): Promise<OriginUpstream> {
  const { passwordFile, ca } = upstream;
  const owner = `upstream ${upstream.name}`;
  return resolveUpstream({
    name: upstream.name,
    url: upstream.url,
    repositoryPrefix: upstream.repositoryPrefix,
    caPem: await readNamedText(ca, owner),
    username: upstream.username,
    password: (await readNamedSecret(passwordFile, owner, 'the password')) ?? upstream.password,
    token: upstream.token,
    tokenHosts: upstream.tokenHosts,
    allowPrivateRedirects: upstream.allowPrivateRedirects,
    connectTimeoutMs: upstream.connectTimeoutMs,
    progressTimeoutMs: upstream.stallTimeoutMs,
    maxConnections: upstream.maxConnections,
  });
}
