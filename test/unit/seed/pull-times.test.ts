import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { Catalog, CatalogManifest } from '../../../src/catalog/catalog.ts';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { PullTimes } from '../../../src/seed/pull-times.ts';
import { LabClock } from './collection-lab.ts';

const APP = parseRepositoryName('team/app');
const log = pino({ level: 'silent' });

function manifest(text: string): CatalogManifest {
  const bytes = Buffer.from(text);
  const sizeBytes = bytes.length;
  return {
    digest: digestOf(bytes),
    mediaType: 'm',
    sizeBytes,
    pushedAtMs: 1,
    annotations: {},
    blobs: [],
    manifests: [],
    bytes,
  };
}

const [IMAGE, OTHER] = [manifest('image'), manifest('other')];

async function openCatalog(): Promise<Catalog> {
  const catalog = await KeyedCatalog.over(new MemoryKeyValue());
  for (const each of [IMAGE, OTHER]) await catalog.manifests.put(APP, each, []);
  return catalog;
}

describe('times of pulls', () => {
  test('are seen at once, and outlive a restart', async () => {
    await using catalog = await openCatalog();
    const clock = new LabClock();
    const since = clock.atMs;
    {
      await using pulls = await PullTimes.open({ catalog, clock, log });
      clock.atMs += 10;
      pulls.note(APP, IMAGE.digest);
      expect((await pulls.read(APP)).of(IMAGE.digest)).toBe(since + 10);
      expect(await pulls.last(APP, IMAGE.digest)).toBe(since + 10);
    }
    clock.atMs += 10;
    await using again = await PullTimes.open({ catalog, clock, log });
    expect(await again.last(APP, IMAGE.digest)).toBe(since + 10);
    expect((await again.read(APP)).of(IMAGE.digest)).toBe(since + 10);
  });

  test('of what was never asked for begin when times began to be kept', async () => {
    await using catalog = await openCatalog();
    const clock = new LabClock();
    const since = clock.atMs;
    await using first = await PullTimes.open({ catalog, clock, log });
    clock.atMs += 100;
    await using second = await PullTimes.open({ catalog, clock, log });
    for (const pulls of [first, second]) {
      expect((await pulls.read(APP)).of(OTHER.digest)).toBe(since);
      expect(await pulls.last(APP, OTHER.digest)).toBe(since);
    }
  });

  test('of a crowd of pulls are written once', async () => {
    await using catalog = await openCatalog();
    let writes = 0;
    const { pulls: below } = catalog;
    const counted: Pick<Catalog, 'pulls'> = {
      pulls: { ...below, put: async (...args) => ((writes += 1), await below.put(...args)) },
    };
    await using pulls = await PullTimes.open({ catalog: counted, clock: new LabClock(), log });
    for (let count = 0; count < 5000; count += 1) pulls.note(APP, (count % 2 === 0 ? IMAGE : OTHER).digest);
    await pulls.flush();
    expect(writes).toBe(1);
  });

  test('that cannot be written do not disturb pulls', async () => {
    await using catalog = await openCatalog();
    const { pulls: below } = catalog;
    const failing: Pick<Catalog, 'pulls'> = { pulls: { ...below, put: () => Promise.reject(new Error('disk full')) } };
    const clock = new LabClock();
    await using pulls = await PullTimes.open({ catalog: failing, clock, log });
    const since = clock.atMs;
    clock.atMs += 10;
    pulls.note(APP, IMAGE.digest);
    await pulls.flush();
    expect(await pulls.last(APP, IMAGE.digest)).toBe(since);
  });
});
