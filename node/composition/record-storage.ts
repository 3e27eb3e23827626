/** Storage of record as it is configured: on the disk of the node or in a bucket. */
import type { Logger } from 'pino';
import type { RecordShelf } from '../../src/content/record-shelf.ts';
import { systemClock } from '../../src/origin/clock.ts';
import type { BlobStorage } from '../../src/storage/blob-storage.ts';
import { FsBlobStorage } from '../../src/storage/fs-blob-storage.ts';
import { S3BlobStorage } from '../../src/storage/s3-blob-storage.ts';
import type { S3StorageConfig } from '../../src/storage/s3-config.ts';
import type { NodeConfig } from '../config/schema.ts';
import { readNamedSecret, readNamedText } from './named-file.ts';

/** The bucket, with what files hold; `undefined` for the disk. @throws {DockyardError} ERR_CONFIG_UNREADABLE, ERR_CONFIG_INVALID */
export async function bucketConfig({ storage }: NodeConfig): Promise<S3StorageConfig | undefined> {
  if (storage.driver === 'filesystem') return undefined;
  const { bucket = '', prefix, accessKey, secretKey, secretKeyFile, ca, ...others } = storage.s3;
  const owner = 'storage.s3';
  const secretAccessKey = secretKey ?? (await readNamedSecret(secretKeyFile, owner, 'the secret access key'));
  return {
    bucket,
    prefix: prefix === undefined || prefix.endsWith('/') ? (prefix ?? '') : `${prefix}/`,
    region: others.region,
    endpoint: others.endpoint,
    pathStyle: others.pathStyle,
    credentials:
      accessKey === undefined || secretAccessKey === undefined
        ? undefined
        : { accessKeyId: accessKey, secretAccessKey, sessionToken: undefined },
    caPem: await readNamedText(ca, owner),
    partSizeBytes: others.partSizeBytes,
    memoryBytes: others.memoryBudgetBytes,
    stallTimeoutMs: others.stallTimeoutMs,
    assemblyTimeoutMs: others.assemblyTimeoutMs,
    maxAttempts: others.maxAttempts,
    directUrlTtlMs: others.redirectTtlMs,
  };
}

/**
 * Opens it; whoever does closes it. `owner` names this seed.
 * @throws {DockyardError} ERR_STORAGE_IO when the bucket cannot be used, ERR_STORAGE_TAKEN when another seed uses it
 */
export async function openRecordStorage(
  { record, log, owner }: { readonly record: RecordShelf; readonly log: Logger; readonly owner: () => Promise<string> },
  bucket: S3StorageConfig | undefined,
): Promise<BlobStorage> {
  if (bucket === undefined) return new FsBlobStorage({ record });
  const deps = { log: log.child({ part: 'storage' }), clock: systemClock, owner: await owner() };
  return await S3BlobStorage.open(deps, bucket);
}
