/** The digest of a file, read once from beginning to end. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { DigestHasher, type Digest, type DigestAlgorithm } from '../../src/oci/digest.ts';

const READ_BYTES = 1024 * 1024;

/** Hashes a file; links are not followed. @throws the error of the file system */
export async function hashFile(
  path: string,
  algorithm: DigestAlgorithm,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<{ readonly digest: Digest; readonly sizeBytes: number }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const hasher = new DigestHasher(algorithm);
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    let sizeBytes = 0;
    for (;;) {
      options.signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, buffer.length, sizeBytes);
      if (bytesRead === 0) return { digest: hasher.digest(), sizeBytes };
      hasher.update(buffer.subarray(0, bytesRead));
      sizeBytes += bytesRead;
    }
  } finally {
    await file.close();
  }
}
