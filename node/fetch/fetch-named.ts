/** Fetches an image or a blob from a registry to where it is wanted: a folder, a file, the store of a node, or through that. */
import { parseManifestReference, type ManifestReference, type Tag } from '../../src/oci/name.ts';
import type { Platform } from '../../src/oci/descriptor.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { digestHex } from '../../src/oci/digest.ts';
import { formatImageReference, type ImageReference } from '../../src/oci/reference.ts';
import { formatRepository, type Repository } from '../../src/oci/repository.ts';
import type { OpenedContent } from '../../src/content/open-content.ts';
import { openStoppedStore } from '../composition/stopped-store.ts';
import { fetchError } from './errors.ts';
import { fetchBlobFile } from './fetch-blob.ts';
import { fetchImage, sizeOf, type ImageSource } from './fetch-image.ts';
import { filePathFor } from './file-output.ts';
import { LayoutFolder } from './layout-folder.ts';
import { FetchProgress } from './progress.ts';
import { StoreSink, StoreSource } from './store-place.ts';

/** Where what is fetched goes. At least one of the two is there. */
export interface FetchPlace {
  /** A folder or a file, absolute. */
  readonly output: string | undefined;
  /** The data folder of a node that is not running, absolute. With `output`, what is fetched goes through it and stays in it. */
  readonly data: string | undefined;
  /** Replace what is in the way. */
  readonly force: boolean;
}

/** What was fetched, for people and programs. */
export interface FetchResult {
  readonly what: 'image' | 'blob' | 'torrent' | 'app';
  /** As it can be asked for again. */
  readonly name: string;
  readonly digest: Digest | undefined;
  readonly sizeBytes: number;
  /** Where it is now. */
  readonly place: string;
  /** What could not be had, and need not be. */
  readonly skipped: readonly string[];
  /** Of an app container image. */
  readonly imageId?: string | undefined;
  /** The fingerprint of the key whose signature was found good. */
  readonly signedBy?: string | undefined;
  /** Why it came another way than was tried first. */
  readonly detour?: string | undefined;
}

export interface FetchNamedDeps {
  readonly source: ImageSource;
  readonly progress: FetchProgress;
}

/** Fetches an image. @throws {DockyardError} as `fetchImage`, and of the store */
export async function fetchNamedImage(
  deps: FetchNamedDeps,
  wanted: {
    readonly repository: Repository;
    readonly reference: ImageReference;
    readonly platform: Platform | undefined;
  },
  place: FetchPlace,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<FetchResult> {
  const { repository, platform } = wanted;
  const reference = manifestReference(wanted.reference);
  const question = { repository, reference, platform };
  const name = formatImageReference({ ...wanted.reference, name: repository.name, host: repository.upstream });
  await using stack = new AsyncDisposableStack();
  const content = place.data === undefined ? undefined : stack.use(await openStoppedStore(place.data));
  const stored =
    content === undefined
      ? undefined
      : await fetchImage(
          { ...deps, sink: storeSink(content, place.data ?? '', { repository, reference }) },
          question,
          options,
        );
  const { output, force } = place;
  const fetched =
    output === undefined
      ? stored
      : await fetchImage(
          {
            source: content === undefined ? deps.source : new StoreSource(content),
            // What is copied from the store is not counted once more.
            progress: content === undefined ? deps.progress : new FetchProgress(),
            sink: stack.use(await LayoutFolder.open(output, { force })),
          },
          question,
          options,
        );
  if (fetched === undefined) throw fetchError('ERR_FETCH_ABSENT', `there is no ${name}`);
  const { plan, skipped } = fetched;
  return {
    what: 'image',
    name,
    digest: plan.top.digest,
    sizeBytes: sizeOf(plan),
    place: output ?? place.data ?? '',
    skipped: skipped.map(({ digest }) => digest),
  };
}

/** Fetches a blob. @throws {DockyardError} as `fetchBlobFile`, and of the store */
export async function fetchNamedBlob(
  { source, progress }: FetchNamedDeps,
  wanted: { readonly repository: Repository; readonly digest: Digest },
  place: FetchPlace,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<FetchResult> {
  const { repository, digest } = wanted;
  const { output, force } = place;
  await using stack = new AsyncDisposableStack();
  const content = place.data === undefined ? undefined : stack.use(await openStoppedStore(place.data));
  if (content !== undefined) await fetchBlobToStore(source, content, wanted, progress, options);
  const path = output === undefined ? undefined : await filePathFor(output, digestHex(digest));
  if (path !== undefined) {
    const from =
      content === undefined
        ? { source, progress }
        : { source: new StoreSource(content), progress: new FetchProgress() };
    await fetchBlobFile(from, { repository, digest, path, force }, options);
  }
  progress.phase = 'done';
  return {
    what: 'blob',
    name: `${formatRepository(repository)}@${digest}`,
    digest,
    sizeBytes: progress.totalBytes ?? progress.doneBytes,
    place: path ?? place.data ?? '',
    skipped: [],
  };
}

async function fetchBlobToStore(
  source: ImageSource,
  content: OpenedContent,
  { repository, digest }: { readonly repository: Repository; readonly digest: Digest },
  progress: FetchProgress,
  options: { signal?: AbortSignal | undefined },
): Promise<void> {
  const held = content.blobs.stat(digest);
  progress.totalBytes = held?.sizeBytes;
  if (held !== undefined) {
    progress.reused(held.sizeBytes);
    return;
  }
  const stat = await source.statBlob(repository, digest, options);
  if (stat === undefined) throw fetchError('ERR_FETCH_ABSENT', `${formatRepository(repository)} has no blob ${digest}`);
  progress.totalBytes = stat.sizeBytes;
  progress.phase = 'fetching';
  const sink = new StoreSink(content, { directory: '' });
  const open = async (
    range: { readonly start: number; readonly end: number },
    { signal }: { signal?: AbortSignal | undefined },
  ): ReturnType<ImageSource['openBlob']> => await source.openBlob(repository, digest, { range, signal });
  if (!(await sink.gather({ digest, ...stat }, open, progress, options)))
    throw fetchError('ERR_FETCH_ABSENT', `${formatRepository(repository)} has no blob ${digest}`);
}

function storeSink(
  content: OpenedContent,
  directory: string,
  name: { readonly repository: Repository; readonly reference: ManifestReference },
): StoreSink {
  return new StoreSink(content, { directory, name });
}

/** A digest counts before a tag; where there is neither, the tag is `latest`. */
export function manifestReference({ tag, digest }: ImageReference): ManifestReference {
  if (digest !== undefined) return { kind: 'digest', digest };
  return tag === undefined ? parseManifestReference('latest') : { kind: 'tag', tag: tag satisfies Tag };
}
