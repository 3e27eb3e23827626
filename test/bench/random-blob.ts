/** Blobs of random bytes, which nothing can compress or has seen before. */
import { createHash, randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest, type Digest } from '../../src/oci/digest.ts';
import { mustRun } from '../support/programs.ts';

const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * Pushes a blob of random bytes to a registry.
 * @param registryUrl of a registry that lets everybody push
 * @param folder where its bytes stand meanwhile
 */
export async function pushRandomBlob(
  registryUrl: string,
  repository: string,
  folder: string,
  sizeBytes: number,
): Promise<Digest> {
  const path = join(folder, 'pushed');
  const digest = await writeRandomFile(path, sizeBytes);
  const opened = await fetch(`${registryUrl}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(opened.headers.get('location') ?? '', registryUrl);
  location.searchParams.set('digest', digest);
  await mustRun('curl', ['-sfS', '-T', path, '-H', 'Content-Type: application/octet-stream', location.href]);
  await rm(path);
  return digest;
}

/** Writes a file of random bytes; answers their digest. */
export async function writeRandomFile(path: string, sizeBytes: number): Promise<Digest> {
  const hash = createHash('sha256');
  await using file = await open(path, 'w');
  for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
    const chunk = randomBytes(Math.min(CHUNK_BYTES, sizeBytes - at));
    hash.update(chunk);
    await file.write(chunk);
  }
  const digest = `sha256:${hash.digest('hex')}`;
  if (!isDigest(digest)) throw new TypeError(`${digest} is no digest`);
  return digest;
}
