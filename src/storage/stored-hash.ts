/** The digest that the bytes of a blob of record have now. */
import { digestAlgorithm, DigestHasher, type Digest } from '../oci/digest.ts';
import type { StoredReading, VerifyOptions } from './blob-storage.ts';

/** Reads a blob whole, at the pace of whoever asks. @throws {DockyardError} as `StoredReading.read` */
export async function digestStored(reading: StoredReading, { signal, onRead }: VerifyOptions): Promise<Digest> {
  const hasher = new DigestHasher(digestAlgorithm(reading.digest));
  for await (const chunk of reading.read({ start: 0, end: reading.sizeBytes }, { signal })) {
    hasher.update(chunk);
    await onRead?.(chunk.length);
    signal?.throwIfAborted();
  }
  return hasher.digest();
}
