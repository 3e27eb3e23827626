/** Reading a manifest from an upstream's answer: what it is, and whether it is what was asked for. */
import { digestAlgorithm, digestOf, isDigest, type Digest } from '../oci/digest.ts';
import type { DockyardError } from '../oci/error.ts';
import { bareMediaType, MEDIA_TYPES } from '../oci/media-type.ts';
import { formatManifestReference, type ManifestReference } from '../oci/name.ts';
import { readBounded, refuseEncoding } from './answer-reading.ts';
import { originError } from './errors.ts';
import type { HttpAnswer } from './http-exchange.ts';

/** What the distribution specification asks registries to accept at least, and containerd and distribution to the byte. */
export const MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024;

/** A manifest whose bytes have the digest. */
export interface OriginManifest {
  readonly digest: Digest;
  /** Without parameters. */
  readonly mediaType: string;
  readonly bytes: Buffer;
}

function badAnswer(upstream: string, reference: ManifestReference, what: string): DockyardError {
  return originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${upstream}' ${what}`, {
    details: { upstream, reference: formatManifestReference(reference) },
  });
}

/** The digest that an answer tells in its header; `undefined` when it tells none, or an unsupported one. */
export function toldDigest(answer: HttpAnswer): Digest | undefined {
  const text = answer.header('docker-content-digest')?.trim() ?? '';
  return isDigest(text) ? text : undefined;
}

/**
 * Reads the answer to a GET of a manifest. @returns `undefined` when the upstream does not have it
 * @throws {DockyardError} ERR_ORIGIN_BAD_ANSWER
 */
export async function readManifest(
  answer: HttpAnswer,
  reference: ManifestReference,
  upstream: string,
): Promise<OriginManifest | undefined> {
  if (answer.status !== 200) {
    await answer.discard();
    if (answer.status === 404) return undefined;
    throw badAnswer(upstream, reference, `answers a request for a manifest with ${answer.status}`);
  }
  await refuseEncoding(answer, upstream);
  const bytes = await readBounded(answer, MANIFEST_LIMIT_BYTES, upstream);
  const expected = reference.kind === 'digest' ? reference.digest : toldDigest(answer);
  const digest = digestOf(bytes, expected === undefined ? 'sha256' : digestAlgorithm(expected));
  if (expected !== undefined && digest !== expected) {
    throw badAnswer(upstream, reference, `gives a manifest with the digest ${digest} for ${expected}`);
  }
  const mediaType = manifestMediaType(bytes, answer.header('content-type'));
  if (mediaType === undefined) throw badAnswer(upstream, reference, 'gives what is no manifest');
  return { digest, mediaType, bytes };
}

const GENERIC_MEDIA_TYPES: ReadonlySet<string> = new Set([
  '',
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
  'text/plain',
]);

const MEDIA_TYPE_PATTERN = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/;

/**
 * The media type of a manifest: as it was told, or, where a server tells nothing of use, as the document says itself.
 * @returns `undefined` when the bytes are no manifest
 */
export function manifestMediaType(bytes: Uint8Array, told: string | undefined): string | undefined {
  const document = parseObject(bytes);
  if (document === undefined) return undefined;
  const { schemaVersion, mediaType: own, manifests } = document;
  if (typeof schemaVersion !== 'number' && typeof own !== 'string') return undefined;
  const bare = bareMediaType(told ?? '');
  if (MEDIA_TYPE_PATTERN.test(bare) && !GENERIC_MEDIA_TYPES.has(bare) && bare !== 'text/html') return bare;
  if (typeof own === 'string' && MEDIA_TYPE_PATTERN.test(own)) return own;
  if (schemaVersion === 1) return MEDIA_TYPES.dockerSchema1Signed;
  return Array.isArray(manifests) ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest;
}

function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const document: unknown = JSON.parse(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'),
    );
    const isObject = typeof document === 'object' && document !== null && !Array.isArray(document);
    return isObject ? (document as Record<string, unknown>) : undefined;
  } catch {
    // Whatever is not JSON is no manifest.
    return undefined;
  }
}
