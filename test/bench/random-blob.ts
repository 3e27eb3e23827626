/** Blobs of random bytes, which nothing can compress or has seen before. */
import { createHash, randomBytes, randomFillSync } from 'node:crypto';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest, type Digest } from '../../src/oci/digest.ts';
import { mustRun } from '../support/programs.ts';

const CHUNK_BYTES = 4 * 1024 * 1024;

/** A blob whose bytes are in memory, so that what a client got is compared with them: cheaper than a digest. */
export interface KnownBlob {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** Pushes a blob of random bytes to a registry, as `pushRandomBlob` does, and keeps it in memory. */
export async function pushKnownBlob(
  registryUrl: string,
  repository: string,
  folder: string,
  sizeBytes: number,
): Promise<KnownBlob> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) randomFillSync(bytes, at, Math.min(CHUNK_BYTES, sizeBytes - at));
  const path = join(folder, 'pushed');
  await writeFile(path, bytes);
  const digest = digestOf(createHash('sha256').update(bytes).digest('hex'));
  await pushFile(registryUrl, repository, path, digest);
  return { digest, bytes };
}

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
  await pushFile(registryUrl, repository, path, digest);
  return digest;
}

/** Pushes a file, and removes it. */
async function pushFile(registryUrl: string, repository: string, path: string, digest: Digest): Promise<void> {
  const opened = await fetch(`${registryUrl}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(opened.headers.get('location') ?? '', registryUrl);
  location.searchParams.set('digest', digest);
  await mustRun('curl', ['-sfS', '-T', path, '-H', 'Content-Type: application/octet-stream', location.href]);
  await rm(path);
}

async function writeRandomFile(path: string, sizeBytes: number): Promise<Digest> {
  const hash = createHash('sha256');
  await using file = await open(path, 'w');
  for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
    const chunk = randomBytes(Math.min(CHUNK_BYTES, sizeBytes - at));
    hash.update(chunk);
    await file.write(chunk);
  }
  return digestOf(hash.digest('hex'));
}

function digestOf(hex: string): Digest {
  const digest = `sha256:${hex}`;
  if (!isDigest(digest)) throw new TypeError(`${digest} is no digest`);
  return digest;
}
