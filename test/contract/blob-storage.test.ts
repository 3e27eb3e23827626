import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll } from 'vitest';
import { openContent, type OpenedContent } from '../../src/content/open-content.ts';
import type { BlobStorage } from '../../src/storage/blob-storage.ts';
import { FsBlobStorage } from '../../src/storage/fs-blob-storage.ts';
import { MemoryBlobStorage, MemoryMedium } from '../../src/storage/memory-blob-storage.ts';
import { FaultyDisk } from '../support/faulty-disk.ts';
import { describeBlobStorage } from './blob-storage.ts';
import { describeStorageFaults } from './blob-storage-faults.ts';
import { makeTemporaryDirectory, tickingClock } from './blob-store-fixtures.ts';

const directories = new AsyncDisposableStack();
afterAll(async () => await directories.disposeAsync());

const LARGE_BYTES = 12 * 1024 * 1024 + 7;

describeBlobStorage('FsBlobStorage', {
  largeBytes: LARGE_BYTES,
  makePlace: async () => {
    const directory = directories.use(await makeTemporaryDirectory());
    return { open: async () => await openFsStorage(directory.path) };
  },
});

describeBlobStorage('MemoryBlobStorage', {
  largeBytes: LARGE_BYTES,
  makePlace: async () => {
    const medium = new MemoryMedium();
    const open = async (): Promise<BlobStorage> =>
      await Promise.resolve(new MemoryBlobStorage({ clock: tickingClock(), medium }));
    return await Promise.resolve({ open });
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
