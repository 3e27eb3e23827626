/** Changes that wait, on disk: what the process that is killed at any moment leaves to the next. */
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { Change } from '../../../src/catalog/changes.ts';
import { ContentIndex } from '../../../src/content/content-index.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import { PendingChanges } from '../../../src/replication/pending-changes.ts';
import { makeTemporaryDirectory } from '../../contract/blob-store-fixtures.ts';

const APP = parseRepositoryName('team/app');
const own = (): { chapter: string; number: number } => ({ chapter: 'own', number: 0 });
const at = (number: number): { log: string; chapter: string; number: number } => ({
  log: 'log',
  chapter: 'chapter',
  number,
});
const change = (atMs: number): Change => ({
  repository: APP,
  reference: 'v1' as Tag,
  digest: digestOf(Buffer.from(String(atMs))),
  atMs,
});

test('a change that comes while the one before it ends is on disk afterwards', async () => {
  await using directory = await makeTemporaryDirectory();
  await using index = await ContentIndex.open(directory.path, pino({ level: 'silent' }));
  const pending = await PendingChanges.load(index, 'other', own);
  for (let round = 0; round < 20; round += 1) {
    await pending.add([change(2 * round)], at(2 * round), 0);
    const first = pending.take(0);
    if (first === undefined) throw new Error('there is nothing to make');
    const adding = pending.add([change(2 * round + 1)], at(2 * round + 1), 0);
    await Promise.all(round % 2 === 0 ? [pending.done(first), adding] : [adding, pending.done(first)]);
    // As the next process would find it.
    const next = await PendingChanges.load(index, 'other', own);
    expect(next.position.number).toBe(2 * round + 1);
    const second = next.take(0);
    expect(second?.change.atMs, String(round)).toBe(2 * round + 1);
    const inMemory = pending.take(0);
    if (inMemory !== undefined) await pending.done(inMemory);
    expect((await PendingChanges.load(index, 'other', own)).count).toBe(0);
  }
});
