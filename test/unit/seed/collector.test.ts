import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import type { RepositoryName } from '../../../src/oci/name.ts';
import { HOUR_MS, memoryStorage, withLab, type CollectionLab, type LabRules } from './collection-lab.ts';
import { BLOBS, MANIFESTS, NAMES, type ModelManifest } from './collection-model.ts';

const GRACE_MS = 24 * HOUR_MS;
const RULES: LabRules = { graceMs: GRACE_MS, untagged: false, retention: undefined };
const APP = NAMES[0] as RepositoryName;
const OTHER = NAMES[1] as RepositoryName;
const [IMAGE, SIGNATURE] = [MANIFESTS[0], MANIFESTS[5]] as [ModelManifest, ModelManifest];
const DIGEST = digestOf(BLOBS[4] ?? Buffer.alloc(0));

async function withSeed(rules: Partial<LabRules>, work: (lab: CollectionLab) => Promise<void>): Promise<void> {
  await withLab(memoryStorage, { ...RULES, ...rules }, () => 0, work);
}

describe('a collection', () => {
  test('takes a blob that no manifest needs once the grace period is over, and its bytes with it', async () => {
    await withSeed({}, async (lab) => {
      await lab.pushBlob(APP, 4);
      lab.clock.atMs += GRACE_MS;
      expect(await lab.collect()).toEqual([]);
      lab.clock.atMs += 1;
      const sizeBytes = BLOBS[4]?.length;
      const link = { kind: 'link', repository: APP, digest: DIGEST, sizeBytes };
      const expected = [link, { kind: 'blob', digest: DIGEST, sizeBytes }].map((event) => JSON.stringify(event));
      expect(await lab.collect({ dryRun: true })).toEqual(expected);
      expect(await lab.isThere(OTHER, 4)).toBe(false);
      expect(await lab.collect()).toEqual(expected);
      expect(await lab.state()).toEqual({ repositories: {}, stored: {} });
    });
  });

  test('leaves a blob for half of the grace period to a client that found it there', async () => {
    await withSeed({}, async (lab) => {
      await lab.pushBlob(APP, 0);
      await lab.pushBlob(APP, 1);
      lab.clock.atMs += 2 * GRACE_MS;
      expect(await lab.isThere(APP, 0)).toBe(true);
      expect(await lab.isThere(APP, 1)).toBe(true);
      lab.clock.atMs += GRACE_MS / 2;
      expect(await lab.collect()).toEqual([]);
      expect(await lab.putManifest(APP, IMAGE, 'v1')).toBe(true);
    });
  });

  test('takes nothing early and nothing that an image needs, however the clock is set', async () => {
    await withSeed({ untagged: true }, async (lab) => {
      lab.clock.atMs += 2000 * GRACE_MS;
      await lab.pushImage(APP, IMAGE, 'v1');
      await lab.pushBlob(APP, 4);
      for (const jump of [-1000, 400, -100]) {
        lab.clock.atMs += jump * GRACE_MS;
        expect(await lab.collect()).toEqual([]);
        expect(await lab.putManifest(APP, IMAGE, 'v2')).toBe(true);
      }
      lab.clock.atMs += 5000 * GRACE_MS;
      expect(await lab.collect()).not.toEqual([]);
      expect(await lab.isThere(APP, 4)).toBe(false);
      expect(await lab.pull(APP, 'v1')).toBe(true);
      expect(await lab.pull(APP, 'v2')).toBe(true);
    });
  });

  test('keeps the bytes of a mounted blob when it goes from where it came from', async () => {
    await withSeed({}, async (lab) => {
      await lab.pushBlob(APP, 4);
      lab.clock.atMs += 2 * GRACE_MS;
      await lab.mount(OTHER, APP, 4);
      expect(await lab.collect()).toHaveLength(1);
      expect(await lab.isThere(APP, 4)).toBe(false);
      expect(await lab.isThere(OTHER, 4)).toBe(true);
    });
  });

  test('keeps what was pulled within the time, by whichever tag, and drops the rest', async () => {
    const DAY_MS = 24 * HOUR_MS;
    const retention = { keepNewest: 0, keepPushedWithinMs: 0, keepPulledWithinMs: 30 * DAY_MS };
    const work = async (lab: CollectionLab): Promise<void> => {
      const [one, other] = [MANIFESTS[0], MANIFESTS[1]] as [ModelManifest, ModelManifest];
      for (const tag of ['a', 'b']) await lab.pushImage(APP, one, tag);
      await lab.pushImage(APP, other, 'c');
      lab.clock.atMs += 20 * DAY_MS;
      expect(await lab.pull(APP, 'b')).toBe(true);
      lab.clock.atMs += 20 * DAY_MS;
      const events = (await lab.collect()).map((event) => JSON.parse(event) as { kind: string; tag?: string });
      expect(events.filter(({ kind }) => kind === 'tag')).toMatchObject([{ tag: 'c' }]);
      expect(await lab.pull(APP, 'a')).toBe(true);
    };
    await withLab(memoryStorage, { ...RULES, untagged: true, retention }, () => 0, work, { countsPulls: true });
  });

  test('leaves a manifest without a tag to whoever asked for it a short while ago', async () => {
    const work = async (lab: CollectionLab): Promise<void> => {
      await lab.pushImage(APP, IMAGE, 'v1');
      lab.clock.atMs += 2 * GRACE_MS;
      expect(await lab.pull(APP, 'v1')).toBe(true);
      await lab.deleteManifest(APP, 'v1');
      lab.clock.atMs += GRACE_MS;
      expect(await lab.collect()).toEqual([]);
      lab.clock.atMs += 1;
      expect((await lab.collect()).join()).toContain(IMAGE.digest);
    };
    await withLab(memoryStorage, { ...RULES, untagged: true }, () => 0, work, { countsPulls: true });
  });

  test('takes a repository out of the list when nothing is left in it', async () => {
    await withSeed({ untagged: true }, async (lab) => {
      await lab.pushImage(APP, IMAGE, 'v1');
      await lab.pushImage(OTHER, IMAGE, 'v1');
      await lab.deleteManifest(APP, IMAGE.digest);
      expect(await lab.repositoryNames()).toEqual({ repositories: [APP, OTHER].toSorted() });
      lab.clock.atMs += 2 * GRACE_MS;
      await lab.collect();
      expect(await lab.repositoryNames()).toEqual({ repositories: [OTHER] });
      expect(await lab.pushImage(APP, IMAGE, 'v1')).toBe(true);
      expect(await lab.repositoryNames()).toEqual({ repositories: [APP, OTHER].toSorted() });
    });
  });

  test('leaves manifests without a tag alone unless told to take them', async () => {
    for (const untagged of [false, true]) {
      await withSeed({ untagged }, async (lab) => {
        await lab.pushImage(APP, IMAGE, 'v1');
        await lab.pushImage(APP, SIGNATURE, undefined);
        lab.clock.atMs += 2 * GRACE_MS;
        expect(await lab.collect()).toEqual([]);
        await lab.deleteManifest(APP, 'v1');
        await lab.collect();
        const { repositories } = await lab.state();
        expect(Object.keys(repositories[APP]?.manifests ?? {})).toHaveLength(untagged ? 0 : 2);
      });
    }
  });

  test.each(['push', 'mount'] as const)(
    'leaves what a %s uses alone, wherever in the run it begins and however long its parts take',
    async (kind) => {
      for (let [delayTurns, stepTurns] = [0, 1]; stepTurns <= 3; delayTurns += 1) {
        const pace = { turns: 0 };
        let isOver = false;
        await withLab(
          memoryStorage,
          RULES,
          () => pace.turns,
          async (lab) => {
            await lab.pushBlob(APP, 4);
            lab.clock.atMs += 2 * GRACE_MS;
            pace.turns = stepTurns;
            const collecting = lab.collect().finally(() => {
              isOver = true;
            });
            for (let left = delayTurns; left > 0; left -= 1) await nextTurn();
            const isAdded = kind === 'push' ? await lab.pushBlob(OTHER, 4) : await lab.mount(OTHER, APP, 4);
            await collecting;
            expect([delayTurns, isAdded, await lab.isThere(OTHER, 4)]).toEqual([delayTurns, isAdded, isAdded]);
          },
        );
        expect(isOver).toBe(true);
        if (delayTurns === 40) [delayTurns, stepTurns] = [-1, stepTurns + 1];
      }
    },
  );

  test('is refused while another runs, and the refusal does not end that one', async () => {
    await withSeed({}, async (lab) => {
      await lab.pushBlob(APP, 4);
      lab.clock.atMs += 2 * GRACE_MS;
      const [first, second] = await Promise.allSettled([lab.collect(), lab.collect()]);
      expect(first).toMatchObject({ status: 'fulfilled', value: { length: 2 } });
      expect(second).toMatchObject({ status: 'rejected', reason: { code: 'ERR_COLLECTION_RUNNING' } });
      expect(await lab.collect()).toEqual([]);
    });
  });
});
