/** Fetches an app container image by its name: found by discovery, by torrent where its server offers one, else by HTTP. */
import { rename } from 'node:fs/promises';
import { AciDownload } from '../../src/appc/discovery/aci-download.ts';
import { Discovery, type AciEndpoint } from '../../src/appc/discovery/discovery.ts';
import type { WebClient } from '../../src/appc/discovery/web-client.ts';
import { MAX_SIGNATURE_BYTES } from '../../src/appc/signature/detached-signature.ts';
import { formatAppReference, type AppReference } from '../../src/appc/values/app-reference.ts';
import type { VerifiedAci } from '../../src/appc/verify-aci.ts';
import { nodeDisk, writeNewFile } from '../../src/content/disk.ts';
import { asError, isDockyardError } from '../../src/oci/error.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { partPath } from '../../src/torrent/folder-storage.ts';
import { AciPart } from './aci-part.ts';
import type { AciTrust } from './aci-trust.ts';
import { fetchError } from './errors.ts';
import { filePathFor, openWorkBeside, requireFree } from './file-output.ts';
import { outputFailure } from './output-failure.ts';
import type { FetchProgress } from './progress.ts';

/** What is wanted. */
export interface WantedAci {
  /** As it was asked for; the image must have these labels. */
  readonly reference: AppReference;
  /** For this machine, or another one, where the labels do not say. */
  readonly platform: { readonly os: string; readonly architecture: string };
  readonly trust: AciTrust;
  /** Absolute. */
  readonly output: string;
  readonly force: boolean;
  readonly p2p: 'required' | 'preferred';
}

/** Brings the image to a path by torrent, and tells what it is. */
export type FetchAciByTorrent = (
  torrent: URL,
  target: { readonly path: string; readonly signature: Buffer | undefined; readonly webSeed: URL },
) => Promise<VerifiedAci>;

export interface FetchAciDeps {
  readonly web: WebClient;
  readonly progress: FetchProgress;
  readonly byTorrent: FetchAciByTorrent;
}

/** What was fetched. */
export interface FetchedAci {
  readonly verified: VerifiedAci;
  readonly place: string;
  /** Why it did not come by torrent although its server offers one. */
  readonly torrentFailure: Error | undefined;
}

/** What a torrent may fail with when HTTP may still do. */
const PASSING: ReadonlySet<string> = new Set([
  'ERR_FETCH_STALLED',
  'ERR_FETCH_ABSENT',
  'ERR_TORRENT_FAILED',
  'ERR_TORRENT_MISMATCH',
  'ERR_METAINFO_INVALID',
  'ERR_METAINFO_TOO_LARGE',
  'ERR_METAINFO_UNSAFE',
  'ERR_ORIGIN_UNAVAILABLE',
  'ERR_ACI_DOWNLOAD',
]);

/**
 * Fetches an image, and beside it its signature.
 * @throws {DockyardError} ERR_DISCOVERY_FAILED, ERR_ACI_UNKNOWN, and those of the check; ERR_OUTPUT_EXISTS, ERR_OUTPUT_IO
 */
export async function fetchAci(
  deps: FetchAciDeps,
  wanted: WantedAci,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<FetchedAci> {
  const complete = withPlatform(wanted);
  const { endpoints } = await new Discovery({ web: deps.web }).find(complete, options);
  const path = await filePathFor(wanted.output, fileNameOf(complete));
  await requireFree(path, wanted);
  let absent: unknown;
  for (const endpoint of endpoints) {
    try {
      return await fetchFrom(endpoint, path, deps, wanted, options);
    } catch (error) {
      if (!isDockyardError(error, 'ERR_ACI_UNKNOWN')) throw error;
      absent ??= error;
    }
  }
  throw absent;
}

async function fetchFrom(
  endpoint: AciEndpoint,
  path: string,
  deps: FetchAciDeps,
  wanted: WantedAci,
  options: { signal?: AbortSignal | undefined },
): Promise<FetchedAci> {
  const { web, byTorrent, progress } = deps;
  const download = new AciDownload({ web, clock: systemClock, random: Math.random });
  const torrent = await download.findTorrent(endpoint, options);
  let torrentFailure: Error | undefined;
  if (torrent !== undefined) {
    try {
      const { aci: webSeed, signature: url, site } = endpoint;
      const needsSignature = wanted.trust.keyring !== undefined && wanted.trust.signature === undefined;
      const signature = needsSignature ? await web.document({ url, site, ...options }, MAX_SIGNATURE_BYTES) : undefined;
      const verified = await byTorrent(torrent, { path, signature, webSeed });
      if (signature !== undefined) await writeSignature(`${path}.asc`, signature);
      return { verified, place: path, torrentFailure };
    } catch (error) {
      const isPassing = isDockyardError(error) && PASSING.has(error.code);
      if (!isPassing || wanted.p2p === 'required') throw error;
      torrentFailure = asError(error);
      progress.lost(progress.doneBytes);
    }
  } else if (wanted.p2p === 'required') {
    throw fetchError('ERR_FETCH_ABSENT', `${endpoint.aci.href} comes without a torrent; leave --p2p out to fetch it`);
  }
  const verified = await fetchByHttp(download, endpoint, path, progress, wanted, options);
  if (torrentFailure !== undefined) await nodeDisk.removeTree(partPath(path));
  return { verified, place: path, torrentFailure };
}

async function fetchByHttp(
  download: AciDownload,
  endpoint: AciEndpoint,
  path: string,
  progress: FetchProgress,
  { reference, trust }: WantedAci,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<VerifiedAci> {
  await using work = await openWorkBeside(path);
  try {
    await using part = await AciPart.open(work);
    progress.phase = 'fetching';
    progress.peerCount = undefined;
    progress.reused((await part.held()).sizeBytes);
    const onProgress = (heldBytes: number, totalBytes: number | undefined): void => {
      progress.totalBytes = totalBytes;
      // A file that was begun anew has less than before.
      if (heldBytes < progress.doneBytes) progress.lost(progress.doneBytes);
      progress.received(heldBytes - progress.doneBytes);
    };
    const { keyring, imageId } = trust;
    const order = { endpoint, reference, imageId, keyring };
    const { signature, ...verified } = await download.fetch(order, part, { signal, onProgress });
    await part.publish(path);
    if (signature !== undefined) await writeSignature(`${path}.asc`, signature);
    await work.remove();
    progress.phase = 'done';
    return verified;
  } catch (error) {
    throw outputFailure(error, path);
  }
}

/** `app-1.0-linux-amd64.aci`, out of characters that no shell or file system minds. */
function fileNameOf({ name, labels }: AppReference): string {
  const parts = [name.split('/').at(-1), labels.get('version') ?? 'latest', labels.get('os'), labels.get('arch')];
  const text = parts.filter((part) => part !== undefined).join('-');
  return `${text.replaceAll(/[^A-Za-z0-9._+~-]/g, '_').slice(0, 200)}.aci`;
}

/** Templates want an operating system and an architecture; the image itself need not have them unless they were asked for. */
function withPlatform({ reference, platform }: WantedAci): AppReference {
  const labels = new Map(reference.labels);
  if (!labels.has('os')) labels.set('os', platform.os);
  if (!labels.has('arch')) labels.set('arch', platform.architecture);
  return { ...reference, labels };
}

async function writeSignature(path: string, bytes: Buffer): Promise<void> {
  const incoming = `${path}.part`;
  await nodeDisk.removeTree(incoming);
  await writeNewFile(nodeDisk, incoming, bytes);
  await rename(incoming, path);
}

/** The name of an image as it can be asked for again. */
export function nameOfAci({ manifest }: VerifiedAci): string {
  return formatAppReference({ name: manifest.name, labels: manifest.labels });
}
