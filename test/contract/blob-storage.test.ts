import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, expect, test } from 'vitest';
import { BLOB_FILE_MODE, STORE_VERSION_LINE, StoreLayout } from '../../src/content/layout.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { openContent, type OpenedContent } from '../../src/content/open-content.ts';
import type { BlobStorage } from '../../src/storage/blob-storage.ts';
import { FsBlobStorage } from '../../src/storage/fs-blob-storage.ts';
import { MemoryBlobStorage, MemoryMedium } from '../../src/storage/memory-blob-storage.ts';
import { FaultyDisk } from './faulty-disk.ts';
import { describeBlobStorage } from './blob-storage.ts';
import { describeStorageFaults } from './blob-storage-faults.ts';
import { listAll, makeTemporaryDirectory, tickingClock } from './blob-store-fixtures.ts';

const directories = new AsyncDisposableStack();
afterAll(async () => await directories.disposeAsync());

const LISTED = 100_000;
const LARGE_BYTES = 12 * 1024 * 1024 + 7;

describeBlobStorage('FsBlobStorage', {
  largeBytes: LARGE_BYTES,
  makePlace: async () => {
    const directory = directories.use(await makeTemporaryDirectory());
    const damage = async (digest: Digest): Promise<void> => {
      const file = await open(new StoreLayout(directory.path).blobFile(digest), 'r+');
      await file.write(Buffer.from('?'), 0, 1, 100);
      await file.close();
    };
    return { open: async () => await openFsStorage(directory.path), damage };
  },
});

describeBlobStorage('MemoryBlobStorage', {
  largeBytes: LARGE_BYTES,
  makePlace: async () => {
    const medium = new MemoryMedium();
    const openMemory = async (): Promise<BlobStorage> =>
      await Promise.resolve(new MemoryBlobStorage({ clock: tickingClock(), medium }));
    const damage = async (digest: Digest): Promise<void> => {
      const kept = medium.blobs.get(digest);
      const bytes = Buffer.from(kept?.bytes ?? []);
      bytes.write('?', 100);
      if (kept !== undefined) medium.blobs.set(digest, { ...kept, bytes });
      await Promise.resolve();
    };
    return await Promise.resolve({ open: openMemory, damage });
  },
});

for (const [name, code] of [
  ['a full disk', 'ENOSPC'],
  ['a disk that fails', 'EIO'],
] as const) {
  describeStorageFaults(`FsBlobStorage on ${name}`, {
    // More than is hashed at once.
    sizeBytes: 1_300_000,
    makePlace: async () => {
      const directory = directories.use(await makeTemporaryDirectory());
      const disk = new FaultyDisk();
      return {
        open: async () => await openFsStorage(directory.path, disk),
        watch: (fails) => {
          disk.calls = [];
          disk.fault = () => {
            if (fails(disk.calls.length - 1)) throw Object.assign(new Error(`${code}: injected`), { code });
          };
        },
        get calls() {
          return disk.calls.length;
        },
      };
    },
  });
}

test('FsBlobStorage lists 100,000 blobs in order, from anywhere, at once', { timeout: 60_000 }, async () => {
  const directory = directories.use(await makeTemporaryDirectory());
  const digests = Array.from({ length: LISTED }, (_, index) => digestOf(Buffer.from(String(index)))).toSorted();
  const layout = new StoreLayout(directory.path);
  // As the files of a store whose index was lost: to push so many takes as many waits for the disk.
  for (let shard = 0; shard < 256; shard += 1)
    mkdirSync(join(layout.blobsFolder, 'sha256', shard.toString(16).padStart(2, '0')), { recursive: true });
  for (const digest of digests) writeFileSync(layout.blobFile(digest), '', { mode: BLOB_FILE_MODE.pinned });
  writeFileSync(layout.versionFile, STORE_VERSION_LINE);
  await using storage = await openFsStorage(directory.path);
  const from = performance.now();
  const listed = (await listAll(storage.blobs.list())).map(({ digest }) => digest);
  const rest = await listAll(storage.blobs.list({ after: digests[LISTED - 3] }));
  const tookMs = performance.now() - from;
  expect(listed).toEqual(digests);
  expect(rest.map(({ digest }) => digest)).toEqual(digests.slice(-2));
  expect(tookMs).toBeLessThan(10_000);
});

async function openFsStorage(directory: string, disk?: FaultyDisk): Promise<BlobStorage> {
  const content: OpenedContent = await openContent(
    { clock: tickingClock(), log: pino({ level: 'silent' }), metrics: new Registry(), disk },
    {
      directory,
      maxSizeBytes: 0,
      pinnedIsBeside: true,
      minFreeDiskBytes: 0,
      maxManifestBytes: 4 * 1024 * 1024,
      maxTags: 10,
    },
  );
  const storage = new FsBlobStorage({ record: content.record });
  const close = async (): Promise<void> => {
    await storage.close();
    await content.close();
  };
  return { blobs: storage.blobs, uploads: storage.uploads, close, [Symbol.asyncDispose]: close };
}
