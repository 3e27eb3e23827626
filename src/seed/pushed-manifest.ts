/** Reads a manifest that is pushed: what it is, and what it needs. Pure. */
import type { CatalogManifest } from '../catalog/catalog.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import { asError } from '../oci/error.ts';
import { parseManifest, type Manifest } from '../oci/manifest.ts';
import { bareMediaType } from '../oci/media-type.ts';
import { isJsonObject, parseStrictJson } from '../oci/strict-json.ts';
import { seedError } from './errors.ts';

/** A manifest, and the descriptors of what must be there before it. */
export interface PushedManifest {
  readonly manifest: Omit<CatalogManifest, 'pushedAtMs'>;
  /** Sizes by digest; schema 1 names none. */
  readonly blobs: ReadonlyMap<Digest, number | undefined>;
  readonly manifests: ReadonlyMap<Digest, number>;
}

/** Layers that are not pushed: their license forbids it, and clients fetch them from where they come from. */
const NOT_DISTRIBUTED = /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)/;

/**
 * Reads a manifest.
 * @param expected the digest under which it was pushed; undefined where that was a tag
 * @throws {DockyardError} ERR_MANIFEST_REFUSED, ERR_MANIFEST_DIGEST
 */
export function readPushedManifest(
  bytes: Buffer,
  contentType: string | undefined,
  expected: Digest | undefined,
): PushedManifest {
  const digest = digestOf(bytes, expected === undefined ? 'sha256' : digestAlgorithm(expected));
  if (expected !== undefined && digest !== expected) {
    throw seedError('ERR_MANIFEST_DIGEST', `the manifest that was pushed as ${expected} is ${digest}`);
  }
  const parsed = parse(bytes, contentType);
  const { config, layers, subject, unsizedLayers } = parsed;
  const blobs = sizesOf([config, ...layers].filter((descriptor) => isNeeded(descriptor)));
  const manifests = sizesOf(parsed.manifests);
  const artifactType = parsed.artifactType ?? config?.mediaType;
  const manifest = {
    digest,
    mediaType: parsed.mediaType,
    sizeBytes: bytes.length,
    ...(subject === undefined ? {} : { subject: subject.digest }),
    ...(artifactType === undefined ? {} : { artifactType }),
    annotations: subject === undefined ? {} : parsed.annotations,
    blobs: [...new Set([...blobs.keys(), ...unsizedLayers])],
    manifests: [...manifests.keys()],
    bytes,
  };
  const unsized = unsizedLayers.map((layer) => [layer, undefined] as const);
  return { manifest, blobs: new Map([...unsized, ...blobs]), manifests };
}

function parse(bytes: Buffer, contentType: string | undefined): Manifest {
  try {
    return parseManifest(bytes, contentType ?? statedType(bytes));
  } catch (cause) {
    throw seedError('ERR_MANIFEST_REFUSED', asError(cause).message, { cause });
  }
}

/** What the document says of itself, for the client that says nothing. */
function statedType(bytes: Buffer): string {
  const document = parseStrictJson(bytes);
  const stated = isJsonObject(document) ? document['mediaType'] : undefined;
  return typeof stated === 'string' ? bareMediaType(stated) : '';
}

function isNeeded(descriptor: Descriptor | undefined): descriptor is Descriptor {
  return descriptor !== undefined && !NOT_DISTRIBUTED.test(descriptor.mediaType);
}

/** @throws {DockyardError} ERR_MANIFEST_REFUSED when one digest is given two sizes */
function sizesOf(descriptors: readonly Descriptor[]): Map<Digest, number> {
  const sizes = new Map<Digest, number>();
  for (const { digest, sizeBytes } of descriptors) {
    const before = sizes.get(digest);
    if (before !== undefined && before !== sizeBytes) {
      throw seedError('ERR_MANIFEST_REFUSED', `the manifest gives ${digest} two sizes, ${before} and ${sizeBytes}`);
    }
    sizes.set(digest, sizeBytes);
  }
  return sizes;
}
