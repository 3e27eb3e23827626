import { pino } from 'pino';
import { Registry } from 'prom-client';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import { MinimumCopies, type CopyRule } from '../../../src/seed/minimum-copies.ts';

const APP = parseRepositoryName('team/app');
const OTHER = parseRepositoryName('other/app');
const IMAGES = ['one', 'two'].map((text) => digestOf(Buffer.from(text)));

async function makeCopies(rules: readonly CopyRule[], found: (copies: number) => number) {
  const catalog = await KeyedCatalog.over(new MemoryKeyValue());
  const put = async (name: typeof APP, image: number, ...tags: string[]): Promise<void> => {
    const bytes = Buffer.from(['one', 'two'][image] ?? '');
    const facts = { mediaType: 'm', sizeBytes: 3, pushedAtMs: 1, annotations: {}, blobs: [], manifests: [] };
    await catalog.manifests.put(name, { ...facts, digest: digestOf(bytes), bytes }, tags as Tag[]);
  };
  await put(APP, 0, 'v1', 'latest');
  await put(APP, 1, 'main');
  await put(OTHER, 0, 'v1');
  const asked: [string, string, number][] = [];
  const metrics = new Registry();
  const copies = new MinimumCopies(
    {
      catalog,
      ensure: async ({ repository, digest }, wanted) => {
        asked.push([repository, digest, wanted]);
        return await Promise.resolve(found(wanted));
      },
      metrics,
      log: pino({ level: 'silent' }),
    },
    { rules, intervalMs: 60_000 },
  );
  onTestFinished(async () => {
    await copies.close();
    await catalog.close();
  });
  const lacking = async (): Promise<unknown> =>
    (await metrics.getSingleMetric('dockyard_seed_images_lacking_copies')?.get())?.values[0]?.value;
  return { copies, asked, lacking };
}

describe('minimum copies', () => {
  test('are seen to for the images that rules mean, the most where several do', async () => {
    const rules = [
      { pattern: 'team/**:v*', copies: 2 },
      { pattern: 'latest', copies: 4 },
    ];
    const { copies, asked, lacking } = await makeCopies(rules, (wanted) => wanted);
    expect(await copies.look()).toBe(0);
    expect(asked).toEqual([[APP, IMAGES[0], 4]]);
    expect(await lacking()).toBe(0);
  });

  test('that cannot be made are counted', async () => {
    const { copies, lacking } = await makeCopies([{ pattern: '*', copies: 3 }], (wanted) => wanted - 1);
    expect(await copies.look()).toBe(3);
    expect(await lacking()).toBe(3);
  });

  test('that fail do not keep others from being made', async () => {
    let calls = 0;
    const { copies, asked } = await makeCopies([{ pattern: '*', copies: 3 }], (wanted) => {
      calls += 1;
      if (calls === 1) throw new Error('gone');
      return wanted;
    });
    expect(await copies.look()).toBe(1);
    expect(asked).toHaveLength(3);
  });

  test('are seen to a moment after a push, of that repository alone, and once for a burst', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { copies, asked } = await makeCopies([{ pattern: 'v*', copies: 2 }], (wanted) => wanted);
    for (let count = 0; count < 5; count += 1) copies.onPush(OTHER);
    await vi.advanceTimersByTimeAsync(999);
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toEqual([[OTHER, IMAGES[0], 2]]);
  });

  test('without a rule nobody is asked', async () => {
    const { copies, asked } = await makeCopies([], () => 0);
    copies.start();
    copies.onPush(APP);
    expect(await copies.look()).toBe(0);
    expect(asked).toEqual([]);
  });
});
