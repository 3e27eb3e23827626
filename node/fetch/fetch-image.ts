/** Fetches an image: its manifests first, then its blobs, some at once, and its name last. */
import type { ByteRange } from '../../src/oci/byte-range.ts';
import type { Descriptor, Platform } from '../../src/oci/descriptor.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { ManifestReference } from '../../src/oci/name.ts';
import { formatRepository, type Repository } from '../../src/oci/repository.ts';
import { eachAtOnce } from './at-once.ts';
import { assertPlatform, type ReadBlob } from './config-platform.ts';
import { fetchError } from './errors.ts';
import type { BlobReading, OpenBlob } from './gather-blob.ts';
import { planImage, type ImagePlan, type ManifestSource } from './image-plan.ts';
import type { ImageSink } from './image-sink.ts';
import type { FetchProgress } from './progress.ts';

/** Blobs of one image on their way at the same time: layers come from storage that limits each connection. */
const BLOBS_AT_ONCE = 4;

/** Where images and their blobs come from. */
export interface ImageSource extends ManifestSource {
  /** @returns `undefined` when there is no such blob */
  statBlob(
    repository: Repository,
    digest: Digest,
    options: { signal?: AbortSignal | undefined },
  ): Promise<{ readonly sizeBytes: number } | undefined>;
  /** @returns `undefined` when there is no such blob */
  openBlob(
    repository: Repository,
    digest: Digest,
    options: { range: ByteRange; signal?: AbortSignal | undefined },
  ): Promise<BlobReading | undefined>;
}

export interface FetchImageDeps {
  readonly source: ImageSource;
  readonly sink: ImageSink;
  readonly progress: FetchProgress;
}

/** Which image. */
export interface WantedImage {
  readonly repository: Repository;
  readonly reference: ManifestReference;
  readonly platform: Platform | undefined;
}

/** What was fetched. */
export interface FetchedImage {
  readonly plan: ImagePlan;
  /** Blobs that their registry does not give out, by their type; clients get them from elsewhere. */
  readonly skipped: readonly Descriptor[];
}

/**
 * Fetches an image.
 * @throws {DockyardError} ERR_FETCH_ABSENT, ERR_FETCH_UNSUPPORTED, ERR_FETCH_MISMATCH, ERR_OUTPUT_EXISTS, ERR_OUTPUT_IO,
 *   ERR_MANIFEST_INVALID, and those of the source
 */
export async function fetchImage(
  { source, sink, progress }: FetchImageDeps,
  wanted: WantedImage,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<FetchedImage | undefined> {
  const { repository } = wanted;
  const held = async (digest: Digest): Promise<Buffer | undefined> => await sink.heldManifest(digest);
  const plan = await planImage({ source, held }, wanted, options);
  if (plan === undefined) return undefined;
  await using stack = new AsyncDisposableStack();
  const readConfig: ReadBlob = async ({ digest, sizeBytes }) => {
    const reading = await source.openBlob(repository, digest, { range: { start: 0, end: sizeBytes }, ...options });
    return reading && stack.use(reading).body;
  };
  if (wanted.platform !== undefined) await assertPlatform(plan, wanted.platform, readConfig);
  await stack.disposeAsync();
  await sink.begin(plan);
  progress.totalBytes = sizeOf(plan);
  progress.phase = 'fetching';
  for (const manifest of plan.manifests) {
    await sink.putManifest(manifest);
    progress.reused(manifest.bytes.length);
  }
  const skipped: Descriptor[] = [];
  const fetchBlob = async (blob: Descriptor, { signal }: { signal: AbortSignal }): Promise<void> => {
    if (await sink.holds(blob, { signal })) {
      progress.reused(blob.sizeBytes);
      return;
    }
    const open: OpenBlob = async (range, { signal }) =>
      await source.openBlob(repository, blob.digest, { range, signal });
    if (await sink.gather(blob, open, progress, { signal })) return;
    if (!isForeign(blob)) throw absent(repository, blob);
    skipped.push(blob);
    progress.reused(blob.sizeBytes);
  };
  // The longest first, so that none is left alone at the end.
  const blobs = plan.blobs.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
  await eachAtOnce(blobs, BLOBS_AT_ONCE, fetchBlob, options);
  await sink.finish(plan);
  progress.phase = 'done';
  return { plan, skipped };
}

/** Bytes of all parts. */
export function sizeOf({ manifests, blobs }: ImagePlan): number {
  const manifestBytes = manifests.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, manifestBytes);
}

/** Layers that licences keep out of registries: those of Windows. */
function isForeign({ mediaType }: Descriptor): boolean {
  return mediaType.includes('.nondistributable.') || mediaType.includes('.foreign.');
}

function absent(repository: Repository, { digest }: Descriptor): Error {
  const name = formatRepository(repository);
  return fetchError('ERR_FETCH_ABSENT', `${name} names the blob ${digest} in a manifest, but does not have it`, {
    details: { digest },
  });
}
