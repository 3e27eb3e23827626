/** Seeds that change the same images apart from each other stand the same when each has heard of all changes. */
import { expect, test } from 'vitest';
import type { Catalog } from '../../../src/catalog/catalog.ts';
import { isTagReference, outdoes, type Change } from '../../../src/catalog/changes.ts';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import { manifestAt } from '../../contract/catalog-changes.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const SEED = Number(process.env['TEST_SEED'] ?? 20_261_121);
const SEEDS = 3;
const ROUNDS = 150;
const STEPS = 40;
const NAMES = ['a', 'team/b'].map(parseRepositoryName);
const TAGS = ['v1', 'v2', 'latest'] as Tag[];
const IMAGES = ['one', 'two', 'three'];

const openCatalog = async (): Promise<Catalog> => await KeyedCatalog.over(new MemoryKeyValue());

/** Tells one seed of a change of another, as replication does. */
async function tell(from: Catalog, to: Catalog, { repository, reference, digest, atMs }: Change): Promise<void> {
  if (digest === undefined) {
    await to.merging.deletion({ repository, reference, atMs });
    return;
  }
  const manifest = await from.manifests.get(repository, digest);
  // Deleted since: of that it is told as well.
  if (manifest !== undefined) await to.merging.manifest(repository, { ...manifest, pushedAtMs: atMs });
  if (isTagReference(reference)) await to.merging.tag(repository, reference, { digest, atMs });
}

async function changesOf(catalog: Catalog): Promise<readonly Change[]> {
  return (await catalog.changes.list({ after: 0, limit: Infinity })).changes;
}

async function lastNumber(catalog: Catalog): Promise<number> {
  return (await catalog.changes.list({ after: 0, limit: Infinity })).upTo;
}

/** What clients see: tags with where they point, and manifests. */
async function seen(catalog: Catalog): Promise<Record<string, unknown>> {
  const state: Record<string, unknown> = {};
  for (const name of NAMES) {
    for await (const { digest, pushedAtMs } of catalog.manifests.list(name)) state[`${name}@${digest}`] = pushedAtMs;
    for await (const [tag, entry] of catalog.tags.entries(name)) {
      state[`${name}:${tag}`] = entry;
      const manifest = await catalog.manifests.stat(name, entry.digest);
      expect(manifest?.pushedAtMs ?? 0, `${name}:${tag} points to what is there`).toBeGreaterThanOrEqual(
        entry.updatedAtMs,
      );
    }
  }
  return state;
}

async function tellAll(from: Catalog, to: Catalog): Promise<void> {
  for (const change of await changesOf(from)) await tell(from, to, change);
}

async function tellEveryone(seeds: readonly Catalog[]): Promise<void> {
  for (const from of seeds) for (const to of seeds) if (from !== to) await tellAll(from, to);
}

test(`whatever is done where and told when, in the end all stand the same (TEST_SEED=${SEED})`, async () => {
  const random = seededRandom(SEED);
  const upTo = (count: number): number => Math.floor(random() * count);
  const pick = <Item>(items: readonly Item[]): Item => items[upTo(items.length)] as Item;
  for (let round = 0; round < ROUNDS; round += 1) {
    const seeds = await Promise.all(Array.from({ length: SEEDS }, openCatalog));
    // Clocks of seeds differ, and stand still for a while.
    const skews = seeds.map(() => upTo(6));
    const greatest = new Map<string, Change>();
    const note = async (): Promise<void> => {
      for (const change of (await Promise.all(seeds.map(changesOf))).flat()) {
        const key = `${change.repository} ${change.reference}`;
        if (outdoes(change, greatest.get(key))) greatest.set(key, change);
      }
    };
    const tellRandomly = async (): Promise<void> => {
      const [from, to] = [pick(seeds), pick(seeds)];
      const changes = await changesOf(from);
      if (from !== to && changes.length > 0) await tell(from, to, pick(changes));
    };
    for (let step = 0; step < STEPS; step += 1) {
      const at = upTo(SEEDS);
      const catalog = seeds[at] as Catalog;
      const nowMs = 1000 + Math.floor(step / 4) + (skews[at] ?? 0);
      const name = pick(NAMES);
      const image = manifestAt(pick(IMAGES), nowMs);
      const act = upTo(10);
      if (act < 4) await catalog.manifests.put(name, image, random() < 0.3 ? [] : [pick(TAGS)]);
      else if (act === 4) await catalog.tags.delete(name, pick(TAGS), { atMs: nowMs });
      else if (act === 5) await catalog.manifests.delete(name, image.digest, { atMs: nowMs });
      else await tellRandomly();
      await note();
    }
    // Until nobody learns anything: in the end that has to be so.
    for (let before = -1, turns = 0; ; turns += 1) {
      const after = (await Promise.all(seeds.map(lastNumber))).reduce((sum, number) => sum + number, 0);
      if (after === before) break;
      expect(turns, 'seeds go on telling each other').toBeLessThan(10);
      before = after;
      await tellEveryone(seeds);
      await note();
    }
    const [first, ...others] = await Promise.all(seeds.map(seen));
    for (const other of others) expect(other, `round ${round}`).toEqual(first);
    for (const catalog of seeds) {
      for (const { repository, reference, digest, atMs } of greatest.values())
        expect(await catalog.changes.standing({ repository, reference })).toEqual({ digest, atMs });
    }
  }
});

const APP = parseRepositoryName('team/app');
const [V1, LATEST] = ['v1', 'latest'] as [Tag, Tag];

test('a tag that was deleted does not come back from a seed that has not heard of it', async () => {
  const [here, there] = [await openCatalog(), await openCatalog()];
  await here.manifests.put(APP, manifestAt('image', 1000), [V1]);
  await tellAll(here, there);
  await here.tags.delete(APP, V1, { atMs: 2000 });
  await tellAll(there, here);
  expect(await here.tags.get(APP, V1)).toBeUndefined();
  await tellAll(here, there);
  expect(await there.tags.get(APP, V1)).toBeUndefined();
  await there.manifests.put(APP, manifestAt('image', 1500), [V1]);
  await tellAll(there, here);
  expect(await here.tags.get(APP, V1)).toBeDefined();
});

test('of two pushes of one tag the later stands, and of two at one time the same at both', async () => {
  const [here, there] = [await openCatalog(), await openCatalog()];
  const [older, newer] = [manifestAt('older', 1000), manifestAt('newer', 2000)];
  await here.manifests.put(APP, newer, [V1]);
  await there.manifests.put(APP, older, [V1]);
  await here.manifests.put(APP, manifestAt('x', 3000), [LATEST]);
  await there.manifests.put(APP, manifestAt('y', 3000), [LATEST]);
  await tellAll(here, there);
  await tellAll(there, here);
  expect(await there.tags.get(APP, V1)).toEqual({ digest: newer.digest, updatedAtMs: 2000 });
  expect(await here.tags.get(APP, LATEST)).toEqual(await there.tags.get(APP, LATEST));
});

test('an image that is deleted takes its tags, and not one that was moved on elsewhere meanwhile', async () => {
  const [here, there] = [await openCatalog(), await openCatalog()];
  const [old, next] = [manifestAt('old', 1000), manifestAt('next', 2000)];
  await here.manifests.put(APP, old, [V1, LATEST]);
  await tellAll(here, there);
  await there.manifests.put(APP, next, [LATEST]);
  await here.manifests.delete(APP, old.digest, { atMs: 3000 });
  await tellAll(here, there);
  await tellAll(there, here);
  for (const catalog of [here, there]) {
    expect(await catalog.tags.get(APP, V1)).toBeUndefined();
    expect(await catalog.tags.get(APP, LATEST)).toEqual({ digest: next.digest, updatedAtMs: 2000 });
    expect(await catalog.manifests.stat(APP, old.digest)).toBeUndefined();
  }
});

test('what one seed collects by its own rules stays at the other', async () => {
  const [here, there] = [await openCatalog(), await openCatalog()];
  const image = manifestAt('image', 1000);
  await here.manifests.put(APP, image, [V1]);
  await tellAll(here, there);
  await here.tags.delete(APP, V1);
  await here.manifests.delete(APP, image.digest);
  await tellAll(here, there);
  expect(await there.tags.get(APP, V1)).toBeDefined();
});

test('a tag waits for its manifest', async () => {
  const catalog = await openCatalog();
  const image = manifestAt('image', 1000);
  const to = { digest: image.digest, atMs: 1000 };
  expect(await catalog.merging.tag(APP, V1, to)).toBe('lacking');
  expect(await catalog.merging.manifest(APP, image)).toBe('merged');
  expect(await catalog.merging.tag(APP, V1, to)).toBe('merged');
  expect(await catalog.merging.tag(APP, V1, to)).toBe('known');
});
