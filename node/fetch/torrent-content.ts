/** What torrents are made of: a file, a folder, an image layout, or what a registry or the store of a node holds. */
import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isAbsentError } from '../../src/content/errors.ts';
import { DigestHasher, digestAlgorithm, type Digest } from '../../src/oci/digest.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import { LAYOUT_FILE, LAYOUT_INDEX_FILE, layoutBlobPath, parseLayoutIndex } from '../../src/oci/image-layout.ts';
import { MAX_MANIFEST_SIZE_BYTES } from '../../src/oci/manifest.ts';
import type { Repository } from '../../src/oci/repository.ts';
import {
  planImageLayout,
  torrentName,
  type ImageManifest,
  type LayoutFile,
  type LoadManifest,
} from '../../src/torrent/image-layout.ts';
import type { SourceFile, TorrentSource } from '../../src/torrent/make-torrent.ts';
import { MAX_TORRENT_FILES } from '../../src/torrent/parse-metainfo.ts';
import { fetchError } from './errors.ts';
import type { ImageSource } from './fetch-image.ts';
import type { ImagePlan } from './image-plan.ts';
import { outputFailure } from './output-failure.ts';

const READ_BYTES = 1024 * 1024;

/** A file or folder on disk. @throws {DockyardError} ERR_OUTPUT_IO, ERR_FETCH_UNSUPPORTED */
export async function torrentOfPath(path: string): Promise<TorrentSource> {
  try {
    const found = await lstat(path);
    if (found.isFile()) {
      const name = basename(path);
      return { name, isSingleFile: true, files: [fileOnDisk(path, [name], found.size)] };
    }
    if (found.isDirectory()) return (await layoutOnDisk(path)) ?? (await folderOnDisk(path));
  } catch (error) {
    throw outputFailure(error, path);
  }
  throw fetchError('ERR_FETCH_UNSUPPORTED', `${path} is neither a file nor a folder`);
}

/** A blob in a registry or a store; its bytes are checked against the digest while they are read. */
export async function torrentOfBlob(
  source: ImageSource,
  { repository, digest }: { readonly repository: Repository; readonly digest: Digest },
  options: { signal?: AbortSignal | undefined } = {},
): Promise<TorrentSource | undefined> {
  const stat = await source.statBlob(repository, digest, options);
  if (stat === undefined) return undefined;
  const name = torrentName(digest);
  const read = (given: { signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array> =>
    readBlob(source, repository, digest, given);
  return { name, isSingleFile: true, files: [{ path: [name], sizeBytes: stat.sizeBytes, read }] };
}

/** An image in a registry or a store, as the image layout that `fetch` makes of it. */
export async function torrentOfImage(
  source: ImageSource,
  repository: Repository,
  { top, manifests }: ImagePlan,
): Promise<TorrentSource> {
  const load: LoadManifest = (digest) => {
    const found = manifests.find((manifest) => manifest.digest === digest);
    if (found === undefined) throw fetchError('ERR_FETCH_ABSENT', `the manifest ${digest} is not there`);
    return Promise.resolve(found);
  };
  const read = (digest: Digest, given: { signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array> =>
    readBlob(source, repository, digest, given);
  return layoutSource(top, await planImageLayout(top, load), read);
}

function layoutSource(
  top: ImageManifest,
  files: readonly LayoutFile[],
  read: (digest: Digest, options: { signal?: AbortSignal | undefined }) => AsyncIterable<Uint8Array>,
): TorrentSource {
  const sources = files.map(({ path, sizeBytes, bytes, digest }): SourceFile => {
    return {
      path,
      sizeBytes,
      read: (options) => (digest === undefined ? oneChunk(bytes) : read(digest, options)),
    };
  });
  return { name: torrentName(top.digest), isSingleFile: false, files: sources };
}

/** The layout of one image, as `fetch` writes it; `undefined` for other folders, which are taken as they are. */
async function layoutOnDisk(path: string): Promise<TorrentSource | undefined> {
  const index = await readSmall(join(path, LAYOUT_INDEX_FILE));
  const layout = await readSmall(join(path, LAYOUT_FILE));
  if (index === undefined || layout === undefined) return undefined;
  const load = async (digest: Digest, mediaType: string): Promise<ImageManifest> => {
    const bytes = await readSmall(join(path, layoutBlobPath(digest)));
    if (bytes === undefined) throw fetchError('ERR_FETCH_ABSENT', `${path} lacks the manifest ${digest}`);
    return { digest, mediaType, bytes };
  };
  try {
    const [image, ...others] = parseLayoutIndex(index);
    if (image === undefined || others.length > 0) return undefined;
    const top = await load(image.digest, image.mediaType);
    const files = await planImageLayout(top, async (digest) => await load(digest, mediaTypeIn(top, digest)));
    const isCanonical = files.some(({ path: [name], bytes }) => name === LAYOUT_INDEX_FILE && bytes?.equals(index));
    if (!isCanonical) return undefined;
    return layoutSource(top, files, (digest, options) =>
      readChecked(join(path, layoutBlobPath(digest)), digest, options),
    );
  } catch (error) {
    // A layout with a hole is a folder with files.
    if (isDockyardError(error)) return undefined;
    throw error;
  }
}

/** What an index calls the manifest; the usual reading of its bytes where it does not. */
function mediaTypeIn(top: ImageManifest, digest: Digest): string {
  const document = JSON.parse(top.bytes.toString('utf8')) as { manifests?: { digest?: string; mediaType?: string }[] };
  const entry = document.manifests?.find((child) => child.digest === digest);
  return entry?.mediaType ?? top.mediaType;
}

async function folderOnDisk(path: string): Promise<TorrentSource> {
  const files: SourceFile[] = [];
  const visit = async (folder: readonly string[]): Promise<void> => {
    const entries = await readdir(join(path, ...folder), { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))) {
      const inside = [...folder, entry.name];
      const full = join(path, ...inside);
      if (entry.isDirectory()) await visit(inside);
      else if (entry.isFile()) files.push(fileOnDisk(full, inside, (await lstat(full)).size));
      else throw fetchError('ERR_FETCH_UNSUPPORTED', `${full} is a link or a device; a torrent holds files alone`);
      if (files.length > MAX_TORRENT_FILES)
        throw fetchError('ERR_FETCH_UNSUPPORTED', `${path} has more than ${MAX_TORRENT_FILES} files`);
    }
  };
  await visit([]);
  return { name: basename(path), isSingleFile: false, files };
}

function fileOnDisk(path: string, inside: readonly string[], sizeBytes: number): SourceFile {
  return { path: inside, sizeBytes, read: ({ signal }) => createReadStream(path, streamOptions(signal)) };
}

async function* readChecked(
  path: string,
  digest: Digest,
  { signal }: { signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  yield* checked(createReadStream(path, streamOptions(signal)), digest, path);
}

async function* readBlob(
  source: ImageSource,
  repository: Repository,
  digest: Digest,
  { signal }: { signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  await using reading = await source.openBlob(repository, digest, { range: { start: 0, end: Infinity }, signal });
  if (reading === undefined) throw fetchError('ERR_FETCH_ABSENT', `the blob ${digest} is not there`);
  yield* checked(reading.body, digest, digest);
}

/** A torrent of false bytes would be one that nobody else can make. */
async function* checked(body: AsyncIterable<Uint8Array>, digest: Digest, where: string): AsyncGenerator<Uint8Array> {
  const hasher = new DigestHasher(digestAlgorithm(digest));
  for await (const chunk of body) {
    hasher.update(chunk);
    yield chunk;
  }
  if (hasher.digest() !== digest) throw fetchError('ERR_FETCH_MISMATCH', `${where} is not what its digest says`);
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

async function readSmall(path: string): Promise<Buffer | undefined> {
  try {
    const found = await lstat(path);
    return found.isFile() && found.size <= MAX_MANIFEST_SIZE_BYTES ? await readFile(path) : undefined;
  } catch (error) {
    if (isAbsentError(error)) return undefined;
    throw error;
  }
}

function streamOptions(signal: AbortSignal | undefined): Parameters<typeof createReadStream>[1] {
  return { highWaterMark: READ_BYTES, ...(signal === undefined ? {} : { signal }) };
}
