/**
 * OCI image layouts: an image as a folder, which `skopeo copy oci:…` and others read. Names and bytes alone; the same image
 * always makes the same bytes.
 * @see OCI image-spec v1.1, image-layout.md
 */
import { parseDescriptors, type Descriptor } from './descriptor.ts';
import { digestAlgorithm, digestHex, type Digest } from './digest.ts';
import { ociError } from './errors.ts';
import { MEDIA_TYPES } from './media-type.ts';
import { isJsonObject, parseStrictJson } from './strict-json.ts';

/** The file by which a folder is known as a layout. */
export const LAYOUT_FILE = 'oci-layout';

/** What stands in LAYOUT_FILE. */
export const LAYOUT_FILE_BYTES: Buffer = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** The file that names the images of a layout. */
export const LAYOUT_INDEX_FILE = 'index.json';

/** An image that a layout holds. */
export interface LayoutImage {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Where a blob lies in a layout: `blobs/sha256/0123…`. */
export function layoutBlobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/**
 * The bytes of the index of a layout with one image. The image has no name in it, so that it makes the same layout under
 * whatever tag it was asked for.
 */
export function layoutIndexBytes({ mediaType, digest, sizeBytes }: LayoutImage): Buffer {
  const manifests = [{ mediaType, digest, size: sizeBytes }];
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
}

/** The images that the index of a layout names. @throws {DockyardError} ERR_MANIFEST_INVALID */
export function parseLayoutIndex(bytes: Uint8Array): readonly Descriptor[] {
  let document;
  try {
    document = parseStrictJson(bytes);
  } catch (cause) {
    throw ociError('ERR_MANIFEST_INVALID', 'the index of the layout is not strict JSON', { cause });
  }
  if (!isJsonObject(document)) throw ociError('ERR_MANIFEST_INVALID', 'the index of the layout is not a JSON object');
  return parseDescriptors(document['manifests'], 'manifests');
}
