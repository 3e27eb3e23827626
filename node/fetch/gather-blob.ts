/** Brings one blob from an origin into a part, from where an earlier attempt came to. */
import type { ByteRange } from '../../src/oci/byte-range.ts';
import { digestAlgorithm, type Digest } from '../../src/oci/digest.ts';
import { fetchError } from './errors.ts';
import { PartFile } from './part-file.ts';
import type { FetchProgress } from './progress.ts';

/** A blob that is to be had. */
export interface WantedBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** A blob as it streams in. */
export interface BlobReading extends AsyncDisposable {
  /** Of the whole blob. */
  readonly sizeBytes: number;
  /** The bytes of the range, not verified. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** Opens a range of a blob, whose end may lie beyond it; answers `undefined` when the blob is not to be had there. */
export type OpenBlob = (
  range: ByteRange,
  options: { signal?: AbortSignal | undefined },
) => Promise<BlobReading | undefined>;

/** What an attempt comes to. */
type Outcome = 'whole' | 'absent' | 'mismatch';

/**
 * Fetches a blob, verifies it, and gives it its name.
 * @param paths the part, and what it is called in the end
 * @returns false when `openBlob` does not have it
 * @throws {DockyardError} ERR_FETCH_MISMATCH, and what `openBlob` throws; errors of the file system as they are
 */
export async function gatherBlob(
  wanted: WantedBlob,
  paths: { readonly part: string; readonly final: string },
  openBlob: OpenBlob,
  progress: FetchProgress,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<boolean> {
  const config = { algorithm: digestAlgorithm(wanted.digest), maxBytes: wanted.sizeBytes };
  for (;;) {
    await using part = await PartFile.open(paths.part, config, options);
    const keptBytes = part.lengthBytes;
    progress.reused(keptBytes);
    const outcome = await attempt(part, wanted, openBlob, progress, options);
    if (outcome !== 'mismatch') {
      if (outcome === 'whole') await part.publish(paths.final);
      return outcome === 'whole';
    }
    progress.lost(part.lengthBytes);
    await part.discard();
    // What an earlier process left may have been damaged by a loss of power; what came all at once was false.
    if (keptBytes === 0) throw fetchError('ERR_FETCH_MISMATCH', `what came is not ${wanted.digest}`);
  }
}

async function attempt(
  part: PartFile,
  wanted: WantedBlob,
  openBlob: OpenBlob,
  progress: FetchProgress,
  options: { signal?: AbortSignal | undefined },
): Promise<Outcome> {
  const { sizeBytes } = wanted;
  if (part.lengthBytes < sizeBytes) {
    await using reading = await openBlob({ start: part.lengthBytes, end: Infinity }, options);
    if (reading === undefined) return 'absent';
    if (reading.sizeBytes !== sizeBytes) {
      const told = `the origin tells ${reading.sizeBytes} bytes of ${wanted.digest}`;
      throw fetchError('ERR_FETCH_MISMATCH', `${told}, and ${sizeBytes} are expected`);
    }
    await take(part, reading, progress, options.signal);
  }
  return part.lengthBytes === sizeBytes && part.digest() === wanted.digest ? 'whole' : 'mismatch';
}

async function take(
  part: PartFile,
  reading: BlobReading,
  progress: FetchProgress,
  signal: AbortSignal | undefined,
): Promise<void> {
  for await (const chunk of reading.body) {
    signal?.throwIfAborted();
    await part.append(chunk);
    progress.received(chunk.length);
  }
  await part.flush();
}
