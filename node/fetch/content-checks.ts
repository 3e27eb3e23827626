/** What can be checked of a torrent's content as a whole: the digests in its names, and the form of app containers. */
import type { ByteRange } from '../../src/oci/byte-range.ts';
import { DigestHasher, digestAlgorithm, isDigest, type Digest } from '../../src/oci/digest.ts';
import { LAYOUT_FILE, LAYOUT_INDEX_FILE, parseLayoutIndex } from '../../src/oci/image-layout.ts';
import { MAX_MANIFEST_SIZE_BYTES } from '../../src/oci/manifest.ts';
import { torrentError } from '../../src/torrent/errors.ts';
import { digestOfTorrentName } from '../../src/torrent/image-layout.ts';
import type { TorrentFile, TorrentInfo } from '../../src/torrent/metainfo.ts';
import type { ContentCheck } from './fetch-torrent.ts';

const READ_BYTES = 1024 * 1024;

/** Reads bytes of the torrent. */
export type ReadRange = (range: ByteRange) => Promise<Uint8Array>;

/** The file of a single-file torrent, in order. */
export async function* readTorrentBytes(
  { offsetBytes, sizeBytes }: Pick<TorrentFile, 'offsetBytes' | 'sizeBytes'>,
  read: ReadRange,
  options: { signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  const end = offsetBytes + sizeBytes;
  for (let start = offsetBytes; start < end; start += READ_BYTES) {
    options.signal?.throwIfAborted();
    yield await read({ start, end: Math.min(start + READ_BYTES, end) });
  }
}

/**
 * Checks every file that is named by its digest: the blob of a torrent of one blob, and the blobs of an image layout, whose
 * index must name the image that the torrent is named after.
 * @throws {DockyardError} ERR_TORRENT_MISMATCH
 */
export const checkDigests: ContentCheck = async (info, read, options) => {
  for (const file of info.files) {
    const digest = digestOfFile(info, file);
    if (digest === undefined || file.isPadding) continue;
    const hasher = new DigestHasher(digestAlgorithm(digest));
    for await (const bytes of readTorrentBytes(file, read, options)) hasher.update(bytes);
    if (hasher.digest() !== digest) throw mismatch(info, `${file.path.join('/')} is not what its name says`);
  }
  await checkIndex(info, read);
};

/** @param expected what the content must be named after, where that is known @throws {DockyardError} ERR_TORRENT_MISMATCH */
export function requireNamed(info: TorrentInfo, expected: Digest): void {
  if (digestOfTorrentName(info.name) !== expected) throw mismatch(info, `it is not the torrent of ${expected}`);
}

function digestOfFile(info: TorrentInfo, { path }: TorrentFile): Digest | undefined {
  if (info.isSingleFile) return digestOfTorrentName(info.name);
  if (!isLayout(info)) return undefined;
  const [folder, algorithm = '', hex = '', ...rest] = path;
  const text = `${algorithm}:${hex}`;
  return folder === 'blobs' && rest.length === 0 && isDigest(text) ? text : undefined;
}

function isLayout({ files }: TorrentInfo): boolean {
  return files.some(({ path }) => path.length === 1 && path[0] === LAYOUT_FILE);
}

/** A layout that is named after one image and holds another would be taken for the former. */
async function checkIndex(info: TorrentInfo, read: ReadRange): Promise<void> {
  const named = digestOfTorrentName(info.name);
  if (info.isSingleFile || named === undefined) return;
  const index = info.files.find(({ path }) => path.length === 1 && path[0] === LAYOUT_INDEX_FILE);
  if (index === undefined || index.sizeBytes > MAX_MANIFEST_SIZE_BYTES) throw mismatch(info, 'it is no image layout');
  const bytes = await read({ start: index.offsetBytes, end: index.offsetBytes + index.sizeBytes });
  const images = parseLayoutIndex(bytes);
  if (images.length !== 1 || images[0]?.digest !== named) throw mismatch(info, 'its index names another image');
  const isThere = info.files.some((file) => digestOfFile(info, file) === named);
  if (!isThere) throw mismatch(info, 'the manifest that it is named after is not among its files');
}

function mismatch({ name }: TorrentInfo, why: string): Error {
  return torrentError('ERR_TORRENT_MISMATCH', `the content of the torrent '${name}' is refused: ${why}`);
}
