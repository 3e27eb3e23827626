/** Reading torrent files: from disk, from a URL, or from the node that makes them. */
import { lookup } from 'node:dns/promises';
import { open } from 'node:fs/promises';
import { pino } from 'pino';
import { WebClient } from '../../src/appc/discovery/web-client.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { asError, isDockyardError } from '../../src/oci/error.ts';
import { formatManifestReference } from '../../src/oci/name.ts';
import type { ImageReference } from '../../src/oci/reference.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { UPSTREAM_DEFAULTS } from '../../src/origin/upstream-config.ts';
import { MAX_METAINFO_BYTES } from '../../src/torrent/parse-metainfo.ts';
import { ReplaceableCredentials } from '../composition/credentials.ts';
import { proxyConfig } from '../composition/upstream-table.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { fetchError } from './errors.ts';
import { manifestReference } from './fetch-named.ts';

/** Reads a torrent file from disk; a larger one than is allowed is cut, which its reader refuses. @throws {DockyardError} ERR_USAGE */
export async function readTorrentFile(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, MAX_METAINFO_BYTES + 1));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } catch (error) {
    throw nodeError('ERR_USAGE', `the torrent file cannot be read: ${asError(error).message}`, { cause: error });
  }
}

/** A client for what a person named by URL. @param allowHttp whether plain http is spoken. Whoever opens it closes it. */
export function openWebClient(config: NodeConfig, { allowHttp }: { readonly allowHttp: boolean }): WebClient {
  const log = pino({ level: 'silent' });
  const credentials = new ReplaceableCredentials({ log, clock: systemClock }, config.credentials.dockerConfig);
  const { connectTimeoutMs, progressTimeoutMs, caPem } = UPSTREAM_DEFAULTS;
  return new WebClient(
    { resolveHost: (hostname) => lookup(hostname, { all: true }), credentials },
    { proxy: proxyConfig(config), allowHttp, allowPrivate: false, caPem, connectTimeoutMs, progressTimeoutMs },
  );
}

/** Reads a torrent file from a URL. @throws {DockyardError} ERR_FETCH_ABSENT, and those of ORIGIN_ERRORS */
export async function downloadTorrentFile(
  url: URL,
  config: NodeConfig,
  options: { signal?: AbortSignal | undefined },
): Promise<Buffer> {
  await using web = openWebClient(config, { allowHttp: url.protocol === 'http:' });
  try {
    return await web.document({ url, site: new URL(url.origin), ...options }, MAX_METAINFO_BYTES);
  } catch (error) {
    if (!isDockyardError(error, 'ERR_ACI_UNKNOWN')) throw error;
    throw fetchError('ERR_FETCH_ABSENT', `${url.href} answers 404: there is no such torrent`, { cause: error });
  }
}

/** Where a node has the torrent of an image. */
export function imageTorrentUrl(node: URL, reference: ImageReference, host: string | undefined): URL {
  const name = host === undefined ? reference.name : `${host}/${reference.name}`;
  const what = formatManifestReference(manifestReference(reference));
  return new URL(`/torrents/${name}/${what}.torrent`, node);
}

/** Where a node has the torrent of a blob. */
export function blobTorrentUrl(node: URL, digest: Digest): URL {
  return new URL(`/torrents/${digest}.torrent`, node);
}
