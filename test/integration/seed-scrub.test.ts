/** A seed finds damage in what it keeps, gets it again from a node that has it, and says what nobody has. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../node/admin/reports.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { seededBytes } from '../contract/blob-store-fixtures.ts';
import { MAIN, type NodeProcess } from '../support/node-process.ts';
import { mustRun, until } from '../support/programs.ts';
import { blobDigestAt, pushBlobTo, seedDrivers, SeedPlace } from '../support/seed-place.ts';

const MIB = 1024 * 1024;
const NAME = 'team/app';

describe.for(seedDrivers())('a seed with storage on $driver', ({ driver, isReady }) => {
  let place: SeedPlace;
  let seed: NodeProcess;
  let node: NodeProcess;

  beforeAll(async () => {
    if (!isReady) return;
    place = await SeedPlace.open(driver);
    seed = await place.startSeed({ scrub: { every: '1s' } });
    node = await place.startNode(seed);
  });

  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await seed?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
  });

  async function status(): Promise<NonNullable<StatusReport['scrub']>> {
    const { scrub } = (await seed.report('status')) as StatusReport;
    if (scrub === undefined) throw new Error('a seed that tells nothing of its storage');
    return scrub;
  }

  async function untilRepaired(digest: Digest): Promise<void> {
    await until(
      () => `${digest} is repaired:\n${seed.err}`,
      () => seed.log().some((line) => line.msg === 'blob of record repaired' && line['digest'] === digest),
    );
  }

  test.skipIf(!isReady)('a damaged blob, and one that is gone, come back from a node that has them', async () => {
    const blobs = [seededBytes(300_000, 1), seededBytes(7 * MIB, 2)];
    const [damaged, gone] = [
      await pushBlobTo(seed.facade, NAME, blobs[0] as Buffer),
      await pushBlobTo(seed.facade, NAME, blobs[1] as Buffer),
    ];
    for (const digest of [damaged, gone])
      await until('the node has it', async () => (await blobDigestAt(node.facade, NAME, digest)) === digest);
    await place.damage(damaged);
    await place.lose(gone);
    for (const digest of [damaged, gone]) await untilRepaired(digest);
    for (const digest of [damaged, gone]) expect(await blobDigestAt(seed.facade, NAME, digest)).toBe(digest);
    expect(await seed.metric('dockyard_scrub_repairs_total', { outcome: 'repaired' })).toBe(2);
    expect((await status()).lost).toEqual([]);
  });

  test.skipIf(!isReady)('a blob that nobody has is told of, until it is pushed again', async () => {
    const bytes = seededBytes(400_000, 3);
    const digest = await pushBlobTo(seed.facade, NAME, bytes);
    await place.damage(digest);
    await until('the loss is told', async () => (await status()).lost.some((lost) => lost.digest === digest));
    expect(await seed.metric('dockyard_scrub_lost_blobs')).toBe(1);
    const told = seed.log().filter((line) => line.level === 50 && line['digest'] === digest);
    expect(told.map(({ msg }) => msg)).toContain('blob of record lost: nobody has it; push the image again');
    const shown = await mustRun(process.execPath, [MAIN, 'status', '--admin', seed.admin]);
    expect(shown).toContain(`LOST: 1 blob, as team/app@${digest}`);
    // Clients that ask first are told that it is not there, and so push it.
    const asked = await fetch(`http://${seed.facade}/v2/team/app/blobs/${digest}`, { method: 'HEAD' });
    expect(asked.status).toBe(404);
    await pushBlobTo(seed.facade, NAME, bytes);
    expect(await blobDigestAt(seed.facade, NAME, digest)).toBe(digest);
    await until('it is lost no more', async () => (await status()).lost.length === 0);
  });
});
