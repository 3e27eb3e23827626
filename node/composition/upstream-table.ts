/** The table of upstreams as the origin client wants it: files of passwords and certificates are read here. */
import { readFile } from 'node:fs/promises';
import { asError } from '../../src/oci/error.ts';
import {
  resolveUpstream,
  type OriginConfig,
  type UpstreamConfig as OriginUpstream,
} from '../../src/origin/upstream-config.ts';
import type { NodeConfig, UpstreamConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';

/**
 * Reads what the configuration names.
 * @throws {DockyardError} ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID, ERR_UPSTREAM_INVALID
 */
export async function originConfig(config: NodeConfig): Promise<OriginConfig> {
  const upstreams = await Promise.all(config.upstreams.map(readUpstream));
  const { http, https, none } = config.proxy;
  return { upstreams, proxy: { httpProxy: http ?? '', httpsProxy: https ?? '', noProxy: none ?? '' } };
}

async function readUpstream(upstream: UpstreamConfig): Promise<OriginUpstream> {
  const { passwordFile, ca } = upstream;
  return resolveUpstream({
    name: upstream.name,
    url: upstream.url,
    repositoryPrefix: upstream.repositoryPrefix,
    caPem: ca === undefined ? undefined : await readText(ca, upstream.name),
    username: upstream.username,
    password: passwordFile === undefined ? upstream.password : await readPassword(passwordFile, upstream.name),
    token: upstream.token,
    tokenHosts: upstream.tokenHosts,
    allowPrivateRedirects: upstream.allowPrivateRedirects,
    connectTimeoutMs: upstream.connectTimeoutMs,
    progressTimeoutMs: upstream.stallTimeoutMs,
    maxConnections: upstream.maxConnections,
  });
}

async function readPassword(path: string, upstream: string): Promise<string> {
  const [password = ''] = (await readText(path, upstream)).split(/\r?\n/);
  if (password !== '') return password;
  throw nodeError(
    'ERR_CONFIG_INVALID',
    `upstream ${upstream}: the first line of ${path} is empty; it is to be the password`,
  );
}

async function readText(path: string, upstream: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw nodeError('ERR_CONFIG_UNREADABLE', `upstream ${upstream}: cannot read ${path}: ${asError(error).message}`, {
      cause: error,
    });
  }
}
