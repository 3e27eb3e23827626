import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll } from 'vitest';
import { ContentIndex } from '../../src/content/content-index.ts';
import { LevelManifestStore } from '../../src/content/level-manifest-store.ts';
import { MemoryManifestStore } from '../../src/content/memory-manifest-store.ts';
import { makeTemporaryDirectory, tickingClock } from './blob-store-fixtures.ts';
import { describeManifestStore } from './manifest-store.ts';

const resources = new AsyncDisposableStack();
afterAll(async () => await resources.disposeAsync());

describeManifestStore('LevelManifestStore', async (config) => {
  const directory = resources.use(await makeTemporaryDirectory());
  const log = pino({ level: 'silent' });
  const index = resources.use(await ContentIndex.open(join(directory.path, 'index'), log));
  return await LevelManifestStore.open({ clock: tickingClock(), log, index }, config);
});

describeManifestStore('MemoryManifestStore', async (config) => await Promise.resolve(new MemoryManifestStore(config)));
