/**
 * Whose a bucket is, or a prefix of it. What is in it is known from the catalog of one seed alone: a second one would take
 * for garbage what the first keeps, and delete it.
 */
import { asError } from '../oci/error.ts';
import { storageError } from './errors.ts';
import type { S3Keys } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';

/** Takes a place for `owner`, once and for all. @throws {DockyardError} ERR_STORAGE_TAKEN, ERR_STORAGE_IO */
export async function claimPlace(objects: S3Objects, keys: S3Keys, owner: string): Promise<void> {
  let found = await objects.getWhole(keys.owner);
  if (found === undefined) {
    // Of two that begin at the same moment one puts it, and the other reads it.
    await objects.putNew(keys.owner, Buffer.from(JSON.stringify({ owner })));
    found = await objects.getWhole(keys.owner);
  }
  if (found === undefined)
    throw storageError('ERR_STORAGE_TAKEN', `the object ${keys.owner} was being written by another seed just now`);
  requireOwner(found, keys, owner);
}

function requireOwner(bytes: Buffer, keys: S3Keys, owner: string): void {
  const found = readOwner(bytes, keys);
  if (found === owner) return;
  throw storageError('ERR_STORAGE_TAKEN', `the object ${keys.owner} says that this place is of seed ${found}`, {
    details: { owner: found },
  });
}

function readOwner(bytes: Buffer, keys: S3Keys): string {
  try {
    const { owner } = JSON.parse(bytes.toString()) as { owner?: unknown };
    if (typeof owner === 'string') return owner;
    throw new TypeError('it names no owner');
  } catch (error) {
    throw storageError('ERR_STORAGE_TAKEN', `the object ${keys.owner} cannot be read: ${asError(error).message}`, {
      cause: error,
    });
  }
}
