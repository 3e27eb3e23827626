/** Reads what an image is made of, index and all. */
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { isManifestMediaType, parseManifest } from '../oci/manifest.ts';
import { formatManifestReference, type ManifestReference } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import { transferError } from './errors.ts';
import type { FoundManifest } from './manifest-ports.ts';
import type { PreheatImage } from './preheat.ts';
import type { WantedBlob } from './preheat-wire.ts';

/** Where manifests come from; `undefined` for one that is not there. */
export type FindManifest = (
  reference: ManifestReference,
  context: { readonly repository: Repository; readonly signal: AbortSignal },
) => Promise<FoundManifest | undefined>;

/** Which image, and for whom. */
export interface WantedImage {
  readonly repository: Repository;
  readonly reference: ManifestReference;
  /** Platforms of an index, as `linux/amd64`; all when empty. */
  readonly platforms: readonly string[];
}

/** An index may name indexes; nobody nests them so deep. */
const MAX_DEPTH = 8;
/** The memory of an image that names more than any does is not spent. */
const MAX_MANIFESTS = 1000;
/** Layers that clients fetch from where they come from. */
const FOREIGN = /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)/;

/**
 * Reads the manifests of an image.
 * @throws {DockyardError} ERR_PREHEAT_UNKNOWN, ERR_MANIFEST_INVALID; what `find` throws
 */
export async function readImage(find: FindManifest, image: WantedImage, signal: AbortSignal): Promise<PreheatImage> {
  const { repository, platforms } = image;
  const manifests = new Map<Digest, FoundManifest>();
  const blobs = new Map<Digest, WantedBlob>();
  const read = async (reference: ManifestReference, depth: number): Promise<Digest> => {
    const found = await find(reference, { repository, signal });
    const text = formatManifestReference(reference);
    if (found === undefined)
      throw transferError('ERR_PREHEAT_UNKNOWN', `${formatRepository(repository)} has no ${text}`);
    if (depth > MAX_DEPTH || manifests.size >= MAX_MANIFESTS) {
      throw transferError('ERR_PREHEAT_UNKNOWN', `${text} names more manifests than an image does`);
    }
    manifests.set(found.digest, found);
    const { config, layers, unsizedLayers, manifests: children } = parseManifest(found.bytes, found.mediaType);
    for (const { digest, sizeBytes, mediaType } of [...(config === undefined ? [] : [config]), ...layers]) {
      if (!FOREIGN.test(mediaType)) blobs.set(digest, { digest, sizeBytes });
    }
    for (const digest of unsizedLayers) blobs.set(digest, { digest, sizeBytes: undefined });
    for (const child of children) {
      if (!isManifestMediaType(child.mediaType) || manifests.has(child.digest) || !isFor(child, platforms)) continue;
      await read({ kind: 'digest', digest: child.digest }, depth + 1);
    }
    return found.digest;
  };
  const digest = await read(image.reference, 0);
  return { repository, digest, manifests: [...manifests.values()], blobs: [...blobs.values()] };
}

function isFor({ platform }: Descriptor, platforms: readonly string[]): boolean {
  if (platforms.length === 0) return true;
  if (platform === undefined) return false;
  const { os, architecture, variant } = platform;
  return platforms.some(
    (wanted) => wanted === `${os}/${architecture}` || wanted === `${os}/${architecture}/${variant}`,
  );
}
