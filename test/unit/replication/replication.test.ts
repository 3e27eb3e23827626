/** A seed that follows another: what it gets, when, and what it does not. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import { parseQuestion } from '../../../src/replication/change-page.ts';
import type { Replication } from '../../../src/replication/replication.ts';
import { makeTemporaryDirectory, type TemporaryDirectory } from '../../contract/blob-store-fixtures.ts';
import { imageOf, indexOf, TestSeed } from './replication-lab.ts';

const APP = parseRepositoryName('team/app');
const [V1, V2] = ['v1', 'v2'] as [Tag, Tag];

let directory: TemporaryDirectory;
let folders = 0;
const newFolder = (): string => join(directory.path, String((folders += 1)));
beforeAll(async () => {
  directory = await makeTemporaryDirectory();
});
afterAll(async () => await directory[Symbol.asyncDispose]());

async function untilTheSame(replication: Replication): Promise<void> {
  await expect.poll(() => replication.report().every(({ hasCaughtUp }) => hasCaughtUp)).toBe(true);
}

test('images come with what they need, tags with the times when they were set', async () => {
  const [here, there] = [await TestSeed.open(), await TestSeed.open()];
  const [first, second] = [imageOf('first'), imageOf('second')];
  const index = indexOf([first, second]);
  for (const image of [first, second]) await there.push(APP, image, [], 1000);
  await there.push(APP, index, ['v1'], 2000);
  const { replication } = await here.follow(newFolder(), [there.seenBy(here)]);
  await using _ = replication;
  await untilTheSame(replication);
  expect(await here.catalog.tags.get(APP, V1)).toEqual({ digest: index.digest, updatedAtMs: 2000 });
  for (const blob of [...first.blobs, ...second.blobs]) {
    expect(await here.storage.blobs.stat(digestOf(blob))).toMatchObject({ sizeBytes: blob.length });
    expect(await here.catalog.blobs.get(APP, digestOf(blob))).toBeDefined();
  }
  await there.push(APP, first, ['v2']);
  await there.catalog.tags.delete(APP, V1, { atMs: 3000 });
  await expect.poll(async () => await here.catalog.tags.get(APP, V2)).toBeDefined();
  await expect.poll(async () => await here.catalog.tags.get(APP, V1)).toBeUndefined();
});

test('two that follow each other end when both have all, and a blob that is there is not fetched', async () => {
  const [here, there] = [await TestSeed.open(), await TestSeed.open()];
  const image = imageOf('image');
  for (const blob of image.blobs) await here.keep(blob);
  await there.push(APP, image, ['v1'], 1000);
  await here.push(APP, imageOf('other'), ['v2'], 1000);
  const one = await here.follow(newFolder(), [there.seenBy(here)]);
  const two = await there.follow(newFolder(), [here.seenBy(there)]);
  await using _one = one.replication;
  await using _two = two.replication;
  await expect.poll(async () => await there.catalog.tags.get(APP, V2)).toBeDefined();
  await expect.poll(async () => await here.catalog.tags.get(APP, V1)).toBeDefined();
  expect(there.given).toEqual([]);
  const numbers = async (): Promise<number[]> =>
    await Promise.all(
      [here, there].map(async ({ catalog }) => (await catalog.changes.list({ after: 0, limit: 1 })).upTo),
    );
  await untilTheSame(one.replication);
  await untilTheSame(two.replication);
  const before = await numbers();
  // All is told once more, and nothing comes of it.
  one.replication.compare();
  two.replication.compare();
  await untilTheSame(one.replication);
  await untilTheSame(two.replication);
  expect(await numbers()).toEqual(before);
});

test('while the other seed is down its changes wait there, and they come when it answers again', async () => {
  const [here, there] = [await TestSeed.open(), await TestSeed.open()];
  const { metrics, replication } = await here.follow(newFolder(), [there.seenBy(here)]);
  await using _ = replication;
  await untilTheSame(replication);
  there.isDown = true;
  await expect.poll(() => replication.report()[0]?.failuresInARow).toBeGreaterThan(2);
  expect(replication.report()[0]).toMatchObject({ hasCaughtUp: false, lastFailure: "'other' cannot be reached" });
  await there.push(APP, imageOf('image'), ['v1']);
  there.isDown = false;
  await expect.poll(async () => await here.catalog.tags.get(APP, V1)).toBeDefined();
  await untilTheSame(replication);
  expect(replication.report()[0]?.failuresInARow).toBe(0);
  expect(await metrics.metrics()).toMatch(
    /dockyard_replication_failures_total{seed="other",what="changes"} (?:[3-9]|\d\d)/,
  );
});

test('what was heard of outlives the process, and is made by the next', async () => {
  const [here, there] = [await TestSeed.open(), await TestSeed.open()];
  const folder = newFolder();
  const broken = { ...there.seenBy(here), bringBlob: async () => await Promise.reject(new Error('not now')) };
  await there.push(APP, imageOf('image'), ['v1']);
  {
    const { metrics, replication } = await here.follow(folder, [broken]);
    await using _ = replication;
    await expect.poll(() => replication.report()[0]?.failingCount).toBe(2);
    expect(replication.report()[0]).toMatchObject({ pendingCount: 2, lastFailure: 'not now', hasCaughtUp: false });
    expect(await metrics.metrics()).toContain('dockyard_replication_pending_changes{seed="other"} 2');
  }
  // The other seed tells nothing any more: it is all here.
  const mute = { ...there.seenBy(here), changes: async () => await Promise.reject(new Error('mute')) };
  const { replication } = await here.follow(folder, [mute]);
  await using _ = replication;
  await expect.poll(async () => await here.catalog.tags.get(APP, V1)).toBeDefined();
  await expect.poll(() => replication.report()[0]?.pendingCount).toBe(0);
});

test('an image that its seed cannot give whole is not seen here, and comes once it is whole', async () => {
  const [here, there] = [await TestSeed.open(), await TestSeed.open()];
  const [image, other] = [imageOf('image'), imageOf('other')];
  const [config = Buffer.alloc(0)] = image.blobs;
  await there.push(APP, image, ['v1']);
  await there.catalog.blobs.delete(APP, digestOf(config));
  await there.push(APP, other, ['v2']);
  const { replication } = await here.follow(newFolder(), [there.seenBy(here)]);
  await using _ = replication;
  await expect.poll(async () => await here.catalog.tags.get(APP, V2)).toBeDefined();
  await expect.poll(() => replication.report()[0]?.failingCount).toBeGreaterThan(0);
  expect(await here.catalog.manifests.stat(APP, image.digest)).toBeUndefined();
  expect(replication.report()[0]?.lastFailure).toContain(digestOf(config));
  await there.push(APP, image, ['v1']);
  await expect.poll(async () => await here.catalog.tags.get(APP, V1)).toBeDefined();
});

test('a seed keeps to its own rules: names that it does not take, and deletions that it forbids', async () => {
  const [here, there] = [await TestSeed.open(), await TestSeed.open()];
  const elsewhere = parseRepositoryName('elsewhere/app');
  await there.push(APP, imageOf('image'), ['v1']);
  await there.push(elsewhere, imageOf('image'), ['v1']);
  const policy = { names: ['team/**'], allowDelete: false };
  const { replication } = await here.follow(newFolder(), [there.seenBy(here)], policy);
  await using _ = replication;
  await untilTheSame(replication);
  await there.catalog.tags.delete(APP, V1, { atMs: Date.now() });
  await there.push(APP, imageOf('image'), ['v2']);
  await expect.poll(async () => await here.catalog.tags.get(APP, V2)).toBeDefined();
  expect(await here.catalog.tags.get(APP, V1)).toBeDefined();
  expect(await here.catalog.repositories.has(elsewhere)).toBe(false);
});

test('a seed whose catalog was made anew is read from the beginning', async () => {
  const [here, there, anew] = [await TestSeed.open(), await TestSeed.open(), await TestSeed.open()];
  for (const tag of ['v1', 'v3', 'v4']) await there.push(APP, imageOf(tag), [tag]);
  let answering = there;
  const peer = { ...there.seenBy(here) };
  const { replication } = await here.follow(newFolder(), [
    {
      ...peer,
      changes: async (...args) => await answering.seenBy(here).changes(...args),
      manifest: async (...args) => await answering.seenBy(here).manifest(...args),
      bringBlob: async (...args) => await answering.seenBy(here).bringBlob(...args),
    },
  ]);
  await using _ = replication;
  await untilTheSame(replication);
  await anew.push(APP, imageOf('v2'), ['v2']);
  answering = anew;
  await expect.poll(async () => await here.catalog.tags.get(APP, V2)).toBeDefined();
});

test('a seed that was restored from a backup is read again, although its numbers are higher by then', async () => {
  const [here, before] = [await TestSeed.open(), await TestSeed.open()];
  const folder = newFolder();
  await before.push(APP, imageOf('kept'), ['kept']);
  const backup = before.backup();
  for (const tag of ['v1', 'v2']) await before.push(APP, imageOf(tag), [tag]);
  {
    const { replication } = await here.follow(folder, [before.seenBy(here)]);
    await using _ = replication;
    await untilTheSame(replication);
  }
  const after = await TestSeed.open(backup);
  for (const tag of ['new', 'w1', 'w2', 'w3']) await after.push(APP, imageOf(tag), [tag]);
  const { replication } = await here.follow(folder, [after.seenBy(here)]);
  await using _ = replication;
  await untilTheSame(replication);
  for (const tag of ['kept', 'v1', 'v2', 'new', 'w1', 'w2', 'w3'] as Tag[])
    expect(await here.catalog.tags.get(APP, tag), tag).toBeDefined();
});

test('a seed that restarts is not read again', async () => {
  const [here, before] = [await TestSeed.open(), await TestSeed.open()];
  const folder = newFolder();
  await before.push(APP, imageOf('kept'), ['v1']);
  const follow = async (seed: TestSeed): Promise<number[]> => {
    const asked: number[] = [];
    const peer = seed.seenBy(here);
    const changes: typeof peer.changes = async (question, options) => {
      asked.push(question.after);
      return await peer.changes(question, options);
    };
    const { replication } = await here.follow(folder, [{ ...peer, changes }]);
    await using _ = replication;
    await untilTheSame(replication);
    await expect.poll(() => asked.length).toBeGreaterThan(2);
    return asked;
  };
  await follow(before);
  const after = await TestSeed.open(before.backup());
  await after.push(APP, imageOf('new'), ['v2']);
  expect(await follow(after)).not.toContain(0);
  expect(await here.catalog.tags.get(APP, V2)).toBeDefined();
});

test('a seed whose own catalog was restored gets again what came from others since', async () => {
  const [before, there] = [await TestSeed.open(), await TestSeed.open()];
  const folder = newFolder();
  await there.push(APP, imageOf('first'), ['v1']);
  const follow = async (seed: TestSeed): Promise<void> => {
    const { replication } = await seed.follow(folder, [there.seenBy(seed)]);
    await using _ = replication;
    await untilTheSame(replication);
  };
  await follow(before);
  const backup = before.backup();
  await there.push(APP, imageOf('second'), ['v2']);
  await follow(before);
  expect(await before.catalog.tags.get(APP, V2)).toBeDefined();
  const after = await TestSeed.open(backup);
  await follow(after);
  expect(await after.catalog.tags.get(APP, V2)).toBeDefined();
});

test('three in a ring have the same in the end, and then nobody has anything to tell', async () => {
  const seeds = [await TestSeed.open(), await TestSeed.open(), await TestSeed.open()];
  await using stack = new AsyncDisposableStack();
  const followers: Replication[] = [];
  for (const [index, seed] of seeds.entries()) {
    const next = seeds[(index + 1) % seeds.length] ?? seed;
    const { replication } = await seed.follow(newFolder(), [next.seenBy(seed)]);
    followers.push(stack.use(replication));
    await seed.push(APP, imageOf(`of ${index}`), ['v1', `only-${index}`]);
  }
  const [first] = seeds;
  const tagsOf = async ({ catalog }: TestSeed): Promise<string> => {
    const told: string[] = [];
    for await (const [tag, { digest }] of catalog.tags.entries(APP)) told.push(`${tag} ${digest}`);
    return told.join('\n');
  };
  await expect.poll(async () => new Set(await Promise.all(seeds.map(tagsOf))).size).toBe(1);
  await first?.catalog.tags.delete(APP, 'only-1' as Tag, { atMs: Date.now() });
  await expect.poll(async () => (await Promise.all(seeds.map(tagsOf))).join('\n')).not.toContain('only-1');
  for (const replication of followers) await untilTheSame(replication);
  const numbers = (): number[] => seeds.map(({ catalog }) => catalog.changes.place.number);
  const before = numbers();
  for (const replication of followers) replication.compare();
  for (const replication of followers) await untilTheSame(replication);
  expect(numbers()).toEqual(before);
});

test('a seed that follows itself says so', async () => {
  const here = await TestSeed.open();
  await here.push(APP, imageOf('image'), ['v1']);
  const { replication } = await here.follow(newFolder(), [here.seenBy(here, 'me')]);
  await using _ = replication;
  await expect.poll(() => replication.report()[0]?.lastFailure).toContain("names 'me', which is this seed itself");
});

test.each(['after=-1&n=0&wait=x', 'after=1e9&n=99999999999&wait=999999999', ''])(
  'a question that makes no sense is answered within bounds: %s',
  (search) => {
    const { after, limit, waitMs } = parseQuestion(new URLSearchParams(search));
    expect(after).toBe(0);
    expect(limit).toBeGreaterThan(0);
    expect(limit).toBeLessThanOrEqual(1000);
    expect(waitMs).toBeLessThanOrEqual(60_000);
  },
);
