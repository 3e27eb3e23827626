/** Hashing again what lies in a bucket. */
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import type { StoredState, VerifyOptions } from './blob-storage.ts';
import { storageError } from './errors.ts';
import type { S3Keys } from './s3-keys.ts';
import type { ObjectFacts, S3Objects } from './s3-objects.ts';
import type { S3PieceNotes } from './s3-piece-notes.ts';
import { S3Reading, type S3ReadingDeps } from './s3-reading.ts';
import { digestStored } from './stored-hash.ts';

export interface S3VerifyingDeps extends S3ReadingDeps {
  readonly objects: S3Objects;
  readonly keys: S3Keys;
  readonly pieceNotes: S3PieceNotes;
}

/** A blob is read again before it is called damaged: bytes may be changed on their way as well. */
const LOOKS = 2;

/** Verifies one blob, and moves it below `damaged/` when it is not what its digest says. @throws {DockyardError} ERR_STORAGE_IO */
export async function verifyObject(
  deps: S3VerifyingDeps,
  digest: Digest,
  options: VerifyOptions,
): Promise<StoredState> {
  let seen: ObjectFacts | undefined;
  for (let look = 0; look < LOOKS; look += 1) {
    seen = await deps.objects.head(deps.keys.blob(digest), options);
    if (seen === undefined) return 'missing';
    if (await isRight(deps, digest, seen, options)) return 'good';
  }
  if (seen !== undefined) await setAside(deps, digest, seen, options);
  return 'damaged';
}

async function isRight(
  deps: S3VerifyingDeps,
  digest: Digest,
  facts: ObjectFacts,
  options: VerifyOptions,
): Promise<boolean> {
  await using reading = new S3Reading(deps, digest, facts);
  try {
    return (await digestStored(reading, options)) === digest;
  } catch (error) {
    // It was replaced while it was read.
    if (isDockyardError(error, 'ERR_STORAGE_DAMAGED')) return false;
    throw error;
  }
}

async function setAside(
  { objects, keys, pieceNotes }: S3VerifyingDeps,
  digest: Digest,
  seen: ObjectFacts,
  options: VerifyOptions,
): Promise<void> {
  const now = await objects.head(keys.blob(digest), options);
  if (now?.etag !== seen.etag) throw storageError('ERR_STORAGE_IO', `${digest} was replaced while it was verified`);
  await objects.copy(seen, keys.damaged(digest), options);
  await pieceNotes.delete(digest, seen.sizeBytes, options);
  await objects.delete(keys.blob(digest), options);
}
