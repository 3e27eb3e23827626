import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll } from 'vitest';
import { openContent, type OpenedContent } from '../../src/content/open-content.ts';
import type { BlobStorage } from '../../src/storage/blob-storage.ts';
import { FsBlobStorage } from '../../src/storage/fs-blob-storage.ts';
import { MemoryBlobStorage, MemoryMedium } from '../../src/storage/memory-blob-storage.ts';
import { describeBlobStorage } from './blob-storage.ts';
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

async function openFsStorage(directory: string): Promise<BlobStorage> {
  const content: OpenedContent = await openContent(
    { clock: tickingClock(), log: pino({ level: 'silent' }), metrics: new Registry() },
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
