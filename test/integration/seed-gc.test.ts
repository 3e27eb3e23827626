/** A collection of garbage that is killed at any moment takes nothing that an image needs, on the disk and in a bucket. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CollectionReport } from '../../node/admin/reports.ts';
import { seededBytes } from '../contract/blob-store-fixtures.ts';
import { dockyard, jsonLines } from '../support/command-line.ts';
import type { NodeProcess } from '../support/node-process.ts';
import {
  blobDigestAt,
  pushBlobTo,
  pushImageTo,
  seedDrivers,
  SeedPlace,
  type PushedImage,
} from '../support/seed-place.ts';
import { startReceiver } from '../unit/notify/notify-fixture.ts';

const NAME = 'team/app';
const IMAGES = 32;
/** Divides IMAGES. */
const PUSHED_AT_ONCE = 8;
/** After so many lines of its report the seed is killed; far more than one batch is removed by then. */
const KILLED_AFTER = [1, 12];
const shared = seededBytes(20_000, 500);

/** Begins a collection and kills the seed after some lines of its report. @returns how many came */
async function collectAndKill(seed: NodeProcess, lines: number): Promise<number> {
  const answer = await fetch(`http://${seed.admin}/gc`, { method: 'POST' });
  let seen = 0;
  try {
    for await (const chunk of answer.body ?? []) {
      seen += Buffer.from(chunk).toString().split('\n').length - 1;
      if (seen >= lines) seed.child.kill('SIGKILL');
    }
  } catch (error) {
    // The answer of one that was killed has no end.
    if (seed.child.signalCode === null && !seed.child.killed) throw error;
  }
  // Where there was less to remove; the test sees by the rest that the kills came in the middle.
  seed.child.kill('SIGKILL');
  await seed.exited();
  return seen;
}

async function collect(seed: NodeProcess, ...flags: string[]): Promise<{ kind: string; [field: string]: unknown }[]> {
  const { code, out, err } = await dockyard(['gc', '--json', '--admin', seed.admin, ...flags]);
  expect(code, err).toBe(0);
  return jsonLines<CollectionReport>(out);
}

describe.for(seedDrivers())('garbage of a seed with storage on $driver', ({ driver, isReady }) => {
  let place: SeedPlace;
  let seed: NodeProcess | undefined;
  const config = { gc: { grace: '0s', untagged: true } };

  beforeAll(async () => {
    if (isReady) place = await SeedPlace.open(driver);
  });

  afterAll(async () => {
    await seed?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
  });

  async function expectWhole(base: string, tag: string, { digest, blobs }: PushedImage): Promise<void> {
    const answer = await fetch(`http://${base}/v2/${NAME}/manifests/${tag}`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(digest);
    for (const blob of blobs) expect(await blobDigestAt(base, NAME, blob)).toBe(blob);
  }

  async function expectAllWhole(base: string, images: ReadonlyMap<string, PushedImage>): Promise<void> {
    await Promise.all([...images].map(async ([tag, image]) => expectWhole(base, tag, image)));
  }

  test.skipIf(!isReady)(
    'a run that is killed again and again leaves every image whole, and the next one ends it',
    async () => {
      seed = await place.startSeed(config);
      const kept = new Map<string, PushedImage>();
      const { facade } = seed;
      const push = async (index: number): Promise<void> => {
        const tag = `t${index}`;
        const image = await pushImageTo(facade, NAME, tag, [shared, seededBytes(3000 + index, index + 1)]);
        if (index % 3 === 0) kept.set(tag, image);
        else
          expect((await fetch(`http://${facade}/v2/${NAME}/manifests/${tag}`, { method: 'DELETE' })).status).toBe(202);
      };
      for (let first = 0; first < IMAGES; first += PUSHED_AT_ONCE)
        await Promise.all(Array.from({ length: PUSHED_AT_ONCE }, async (_, index) => push(first + index)));
      await pushBlobTo(seed.facade, 'team/left', seededBytes(5000, 900));
      const planned = await collect(seed, '--dry-run');
      let removed = 0;
      for (const lines of KILLED_AFTER) {
        removed += await collectAndKill(seed, lines);
        seed = await place.startSeed(config);
        await expectAllWhole(seed.facade, kept);
      }
      expect(removed).toBeGreaterThan(KILLED_AFTER.length);
      const rest = await collect(seed);
      // The kills came in the middle.
      expect(rest.length).toBeGreaterThan(1);
      expect(rest.length).toBeLessThan(planned.length);
      expect(await collect(seed, '--dry-run')).toMatchObject([{ kind: 'total', blobs: 0, links: 0, manifests: 0 }]);
      const needed = new Set([...kept.values()].flatMap(({ blobs }) => blobs));
      expect((await place.storedBlobs()).toSorted()).toEqual([...needed].toSorted());
      await expectAllWhole(seed.facade, kept);
    },
  );

  test.skipIf(!isReady)('metrics and webhooks tell what was removed', async () => {
    await seed?.[Symbol.asyncDispose]();
    const receiver = await startReceiver(() => 200);
    const ci = { url: receiver.url, allowPrivate: true, ignore: { actions: ['push', 'pull'] } };
    const retention = { keepTags: ['keep*'] };
    seed = await place.startSeed({ ...config, retention, notifications: { endpoints: { ci } } }, 'told');
    const image = await pushImageTo(seed.facade, NAME, 'drop', [seededBytes(7000, 44)]);
    await pushImageTo(seed.facade, NAME, 'keep', [seededBytes(8000, 45)]);
    const removals = await collect(seed);
    const [tagEvent, manifestEvent] = await receiver.received(2);
    const request = { method: 'DELETE', useragent: 'dockyard gc' };
    expect(tagEvent?.event).toMatchObject({ action: 'delete', target: { repository: NAME, tag: 'drop' }, request });
    expect(manifestEvent?.event).toMatchObject({
      action: 'delete',
      target: { repository: NAME, digest: image.digest },
      request,
    });
    for (const kind of ['tag', 'manifest', 'link', 'blob']) {
      const count = removals.filter((removal) => removal.kind === kind).length;
      expect(await seed.metric('dockyard_gc_removed_total', { kind }), kind).toBe(count);
    }
    const { freedBytes } = removals.at(-1) as unknown as { freedBytes: number };
    expect(freedBytes).toBeGreaterThan(7000);
    expect(await seed.metric('dockyard_gc_freed_bytes_total')).toBe(freedBytes);
    expect(await seed.metric('dockyard_gc_runs_total', { outcome: 'complete' })).toBe(1);
    expect(await seed.metric('dockyard_gc_last_run_timestamp_seconds')).toBeGreaterThan(1e9);
  });
});
