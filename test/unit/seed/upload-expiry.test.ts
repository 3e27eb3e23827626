import { pino } from 'pino';
import { expect, test } from 'vitest';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { UploadExpiry } from '../../../src/seed/upload-expiry.ts';
import { MemoryBlobStorage } from '../../../src/storage/memory-blob-storage.ts';
import { until } from '../../support/programs.ts';
import { listAll } from '../../contract/blob-store-fixtures.ts';

const repository = parseRepositoryName('team/app');

async function* bytes(): AsyncGenerator<Buffer> {
  yield await Promise.resolve(Buffer.from('bytes'));
}

test('uploads are given up when nothing came for long; those in use, and those with new bytes, stay', async () => {
  let nowMs = 1_000_000;
  const clock = { nowMs: () => nowMs };
  await using storage = new MemoryBlobStorage({ clock });
  await using catalog = await KeyedCatalog.over(new MemoryKeyValue());
  const begin = async (): Promise<Awaited<ReturnType<typeof storage.uploads.create>>> => {
    const upload = await storage.uploads.create();
    await catalog.sessions.put(upload.id, { repository, startedAtMs: nowMs });
    return upload;
  };
  const [abandoned, alive, busy] = [await begin(), await begin(), await begin()];
  await catalog.sessions.put('f'.repeat(32), { repository, startedAtMs: nowMs });
  const gate = Promise.withResolvers<void>();
  const slow = async function* (): AsyncGenerator<Buffer> {
    await gate.promise;
    yield Buffer.from('late');
  };
  const writing = busy.append(slow());
  nowMs += 50_000;
  await alive.append(bytes());
  await using expiry = new UploadExpiry({ catalog, storage, clock, log: pino({ level: 'silent' }) }, { ttlMs: 60_000 });
  expect(await expiry.sweep()).toBe(0);
  nowMs += 20_000;
  expect(await expiry.sweep()).toBe(1);
  const left = [alive.id, busy.id].toSorted();
  expect((await listAll(storage.uploads.list())).map(({ id }) => id).toSorted()).toEqual(left);
  expect((await listAll(catalog.sessions.list())).map(([id]) => id).toSorted()).toEqual(left);
  expect(await storage.uploads.open(abandoned.id)).toBeUndefined();
  gate.resolve();
  expect(await writing).toBe(4);
  // A clock that is set back makes nothing old.
  nowMs -= 900_000;
  expect(await expiry.sweep()).toBe(0);
  nowMs += 900_000;
  nowMs += 100_000;
  expect(await expiry.sweep()).toBe(2);
  expect(await listAll(catalog.sessions.list())).toEqual([]);
});

test('it looks by itself as soon as it is started', async () => {
  const clock = { nowMs: () => 1_000_000 };
  const storage = new MemoryBlobStorage({ clock: { nowMs: () => 0 } });
  await using catalog = await KeyedCatalog.over(new MemoryKeyValue());
  await storage.uploads.create();
  const expiry = new UploadExpiry({ catalog, storage, clock, log: pino({ level: 'silent' }) }, { ttlMs: 60_000 });
  expiry.start();
  await until('the upload is gone', async () => (await listAll(storage.uploads.list())).length === 0);
  await expiry.close();
  await expiry.close();
  expect(await listAll(storage.uploads.list())).toEqual([]);
});
