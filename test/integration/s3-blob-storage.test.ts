/** Storage of record in a bucket of a real S3 service. */
import { pino } from 'pino';
import { afterAll, describe } from 'vitest';
import { systemClock } from '../../src/origin/clock.ts';
import { S3BlobStorage } from '../../src/storage/s3-blob-storage.ts';
import { describeBlobStorage } from '../contract/blob-storage.ts';
import { requirement } from '../skip-reasons.ts';
import { hasS3Server, S3_SERVER_REMEDY, startS3Server, type S3Server } from '../support/s3-server.ts';

const isReady = requirement('versitygw', hasS3Server, S3_SERVER_REMEDY);

const MIB = 1024 * 1024;

describe.skipIf(!isReady)('versitygw', () => {
  let server: Promise<S3Server> | undefined;
  let buckets = 0;
  afterAll(async () => await (await server)?.[Symbol.asyncDispose]());

  const makePlace = async (): Promise<{ open: () => Promise<S3BlobStorage> }> => {
    server ??= startS3Server();
    const running = await server;
    const bucket = `bucket-${(buckets += 1)}`;
    await running.makeBucket(bucket);
    const deps = { log: pino({ level: 'silent' }), clock: systemClock };
    return { open: async () => await S3BlobStorage.open(deps, running.config(bucket)) };
  };

  describeBlobStorage('S3BlobStorage', { largeBytes: 12 * MIB + 7, makePlace });
});
