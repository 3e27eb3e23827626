/** Hashing again what a store holds. */
import { digestAlgorithm, type Digest } from '../oci/digest.ts';
import { isAbortError, isDockyardError } from '../oci/error.ts';
import type { VerifyResult } from './blob-store.ts';
import { isAbsentError } from './errors.ts';
import type { StoreParts } from './store-parts.ts';

/**
 * Hashes one blob, and sets it aside when it is damaged; `undefined` when it is no longer held.
 * @throws {DockyardError} ERR_STORE_CLOSED; an abort as it is
 */
export async function verifyBlob(
  parts: StoreParts,
  digest: Digest,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<VerifyResult | undefined> {
  const { catalog, complete, hashes, layout, log } = parts;
  const entry = catalog.get(digest);
  if (entry === undefined) return undefined;
  const { sizeBytes } = entry;
  entry.leases += 1;
  try {
    const found = await hashes.wholeFile(layout.blobFile(digest), digestAlgorithm(digest), options);
    if (found === digest) return { digest, sizeBytes, state: 'good' };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (isAbortError(error) || !isDockyardError(error, 'ERR_STORE_IO')) throw error;
    if (isAbsentError(error.cause)) {
      // Removed on purpose meanwhile: then there is nothing to say of it.
      if (catalog.get(digest) !== entry) return undefined;
      await complete.forget(entry);
      return { digest, sizeBytes, state: 'missing' };
    }
    // Without the answer of the file system it was the hash thread that failed, which says nothing of the blob.
    if (error.cause === undefined || !('code' in (error.cause as object))) throw error;
    log.error({ err: error, digest }, 'blob could not be read');
  } finally {
    entry.leases -= 1;
  }
  if (catalog.get(digest) !== entry) return undefined;
  await complete.setAside(entry);
  return { digest, sizeBytes, state: 'damaged' };
}
