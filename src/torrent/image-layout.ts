/**
 * An image as the files of an OCI image layout, which `skopeo copy oci:FOLDER …` reads. The layout has no tag in it, so that
 * the same image gives the same files under whatever name it was asked for.
 * @see OCI image-spec v1.1, image-layout.md
 */
import { isDigest, type Digest } from '../oci/digest.ts';
import {
  LAYOUT_FILE,
  LAYOUT_FILE_BYTES,
  LAYOUT_INDEX_FILE,
  layoutBlobPath,
  layoutIndexBytes,
} from '../oci/image-layout.ts';
import { isManifestMediaType, parseManifest } from '../oci/manifest.ts';
import { torrentError } from './errors.ts';

/** A manifest with its bytes. */
export interface ImageManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** A file of a layout: at hand, or a blob that is named by its digest. */
export type LayoutFile =
  | { readonly path: readonly string[]; readonly sizeBytes: number; readonly bytes: Buffer; readonly digest: undefined }
  | {
      readonly path: readonly string[];
      readonly sizeBytes: number;
      readonly bytes: undefined;
      readonly digest: Digest;
    };

/** Finds the manifest of an index's child. */
export type LoadManifest = (digest: Digest) => Promise<ImageManifest>;

/** Manifests of one layout; an index that names more is no image. */
const MAX_MANIFESTS = 1000;

/** An index in an index has been seen, one more level has not. */
const MAX_DEPTH = 4;

/**
 * All files of an image's layout, in the one order of its torrent: what is small comes first.
 * @throws {DockyardError} ERR_TORRENT_UNSUITABLE for a manifest of Docker's oldest form, or one that names too much;
 *   ERR_MANIFEST_INVALID; what `load` throws
 */
export async function planImageLayout(root: ImageManifest, load: LoadManifest): Promise<readonly LayoutFile[]> {
  const manifests = new Map<Digest, LayoutFile>();
  const blobs = new Map<Digest, LayoutFile>();
  const visit = async (manifest: ImageManifest, depth: number): Promise<void> => {
    if (manifests.has(manifest.digest)) return;
    if (depth > MAX_DEPTH || manifests.size >= MAX_MANIFESTS) throw unsuitable(root, 'it names too many manifests');
    const parsed = parseManifest(manifest.bytes, manifest.mediaType);
    if (parsed.kind === 'schema1')
      throw unsuitable(root, "a manifest of Docker's oldest form has no place in a layout");
    manifests.set(manifest.digest, fileAtHand(blobPath(manifest.digest), manifest.bytes));
    for (const child of parsed.manifests) {
      if (isManifestMediaType(child.mediaType)) await visit(await load(child.digest), depth + 1);
      else blobs.set(child.digest, blobFile(child));
    }
    for (const blob of [...(parsed.config === undefined ? [] : [parsed.config]), ...parsed.layers])
      blobs.set(blob.digest, blobFile(blob));
  };
  await visit(root, 0);
  // What is a manifest to one and a layer to another is one file.
  for (const digest of manifests.keys()) blobs.delete(digest);
  return [
    fileAtHand([LAYOUT_FILE], LAYOUT_FILE_BYTES),
    fileAtHand([LAYOUT_INDEX_FILE], layoutIndexBytes({ ...root, sizeBytes: root.bytes.length })),
    ...manifests.values(),
    ...blobs.values(),
  ];
}

/** The name of the torrent of a blob, which is its file name, or of the layout of a manifest, which is its folder's. */
export function torrentName(digest: Digest): string {
  return digest.replace(':', '-');
}

/** What a torrent of that name is of; `undefined` for names of other kinds. */
export function digestOfTorrentName(name: string): Digest | undefined {
  const text = name.replace('-', ':');
  return isDigest(text) ? text : undefined;
}

/** Where a blob lies in a layout. */
export function blobPath(digest: Digest): readonly string[] {
  return layoutBlobPath(digest).split('/');
}

function fileAtHand(path: readonly string[], bytes: Buffer): LayoutFile {
  return { path, sizeBytes: bytes.length, bytes, digest: undefined };
}

function blobFile({ digest, sizeBytes }: { digest: Digest; sizeBytes: number }): LayoutFile {
  return { path: blobPath(digest), sizeBytes, bytes: undefined, digest };
}

function unsuitable(root: ImageManifest, why: string): Error {
  return torrentError('ERR_TORRENT_UNSUITABLE', `${root.digest} cannot be made a torrent of: ${why}`);
}
