/** Storage of record in a bucket of a real S3 service. */
import { pino } from 'pino';
import { afterAll, describe, onTestFinished } from 'vitest';
import { systemClock } from '../../src/origin/clock.ts';
import { S3BlobStorage } from '../../src/storage/s3-blob-storage.ts';
import type { S3StorageConfig } from '../../src/storage/s3-config.ts';
import { describeBlobStorage } from '../contract/blob-storage.ts';
import { describeStorageFaults, type FaultyPlace } from '../contract/blob-storage-faults.ts';
import { requirement } from '../skip-reasons.ts';
import { FaultyHttpProxy, HTTP_FAULTS, type HttpFault } from '../support/faulty-http-proxy.ts';
import { hasS3Server, S3_SERVER_REMEDY, startS3Server, type S3Server } from '../support/s3-server.ts';

const isReady = requirement('versitygw', hasS3Server, S3_SERVER_REMEDY);

const MIB = 1024 * 1024;

/** A bucket of its own. */
interface S3Place {
  readonly server: S3Server;
  readonly bucket: string;
  open(changes?: Partial<S3StorageConfig>): Promise<S3BlobStorage>;
}

describe.skipIf(!isReady)('versitygw', () => {
  let server: Promise<S3Server> | undefined;
  let buckets = 0;
  afterAll(async () => await (await server)?.[Symbol.asyncDispose]());

  const makePlace = async (): Promise<S3Place> => {
    server ??= startS3Server();
    const running = await server;
    const bucket = `bucket-${(buckets += 1)}`;
    await running.makeBucket(bucket);
    const deps = { log: pino({ level: 'silent' }), clock: systemClock };
    return {
      server: running,
      bucket,
      open: async (changes) => await S3BlobStorage.open(deps, running.config(bucket, changes)),
    };
  };

  describeBlobStorage('S3BlobStorage', { largeBytes: 12 * MIB + 7, makePlace });

  describeStorageFaults('S3BlobStorage behind a connection that fails', {
    // A part, and a remainder that is none.
    sizeBytes: 6 * MIB,
    makePlace: async () => await makeFaultyPlace(HTTP_FAULTS[(places += 1) % HTTP_FAULTS.length] ?? 'cut'),
  });

  // Every run has another kind of fault: all kinds at all calls would take many minutes.
  let places = 0;
  const makeFaultyPlace = async (fault: HttpFault): Promise<FaultyPlace> => {
    const place = await makePlace();
    const proxy = await FaultyHttpProxy.open(place.server.port);
    onTestFinished(async () => await proxy[Symbol.asyncDispose]());
    return {
      open: async () => await place.open({ endpoint: proxy.url, maxAttempts: 2, stallTimeoutMs: 400 }),
      watch: (fails) => {
        proxy.count = 0;
        proxy.faultOf = (call) => (fails(call) ? fault : undefined);
      },
      get calls() {
        return proxy.count;
      },
    };
  };
});
