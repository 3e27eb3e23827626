import { afterAll } from 'vitest';
import { MemoryBlobStore } from '../../src/content/memory-blob-store.ts';
import { makeTemporaryDirectory, openFsStore, tickingClock } from './blob-store-fixtures.ts';
import { describeBlobStore } from './blob-store.ts';

const directories = new AsyncDisposableStack();
afterAll(async () => await directories.disposeAsync());

describeBlobStore('FsBlobStore', async (config) => {
  const directory = directories.use(await makeTemporaryDirectory());
  return await openFsStore(directory.path, config);
});

describeBlobStore(
  'MemoryBlobStore',
  async (config) => await Promise.resolve(new MemoryBlobStore({ clock: tickingClock() }, config)),
);
