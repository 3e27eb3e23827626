/** What a seed has acknowledged is there after the power was lost, and what is there is right. */
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import type { BlobStore } from '../../../src/content/blob-store.ts';
import type { Disk } from '../../../src/content/disk.ts';
import { openContent } from '../../../src/content/open-content.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import type { Upload } from '../../../src/storage/blob-storage.ts';
import { FsBlobStorage } from '../../../src/storage/fs-blob-storage.ts';
import {
  blobOf,
  collect,
  contentIn,
  gather,
  makeTemporaryDirectory,
  seededBytes,
  tickingClock,
} from '../../contract/blob-store-fixtures.ts';
import { VolatileDisk } from '../../contract/volatile-disk.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const RUNS = 24;
const PUSHERS = 3;
/** On a new disk: folders that are not there yet. */
const PLACE = join('srv', 'registry');
const SIZES = [0, 100, 70_000, 1_300_000];
const SEED = Number(process.env['TEST_SEED'] ?? 20_261_121);

interface Opened extends AsyncDisposable {
  readonly storage: FsBlobStorage;
  /** What was fetched and may be fetched again: it need not be there, and has to be right. */
  readonly cache: BlobStore;
  /** Makes a blob that is held one of record, as a seed does at its start with what its catalog has. */
  readonly keep: (digest: Digest) => Promise<boolean>;
}

async function open(directory: string, disk?: Disk): Promise<Opened> {
  const content = await openContent(
    { clock: tickingClock(), log: pino({ level: 'silent' }), metrics: new Registry(), disk },
    {
      directory,
      maxSizeBytes: Infinity,
      pinnedIsBeside: true,
      minFreeDiskBytes: 0,
      maxManifestBytes: 1024 * 1024,
      maxTags: 10,
    },
  );
  const storage = new FsBlobStorage({ record: content.record });
  const close = async (): Promise<void> => {
    await storage.close().catch(() => undefined);
    await content.close().catch(() => undefined);
  };
  return {
    storage,
    cache: content.blobs,
    keep: async (digest) => await content.record.pin(digest),
    [Symbol.asyncDispose]: close,
  };
}

/** What was acknowledged before the power went. */
interface Acknowledged {
  readonly blobs: Set<Digest>;
  readonly uploads: Map<Upload['id'], { readonly bytes: Buffer; offset: number }>;
}

/** Pushes until the disk fails. */
async function pushOn(storage: FsBlobStorage, nextBytes: () => Buffer, told: Acknowledged): Promise<void> {
  try {
    for (;;) await pushOne(storage, nextBytes(), told);
  } catch {
    // The power is gone.
  }
}

/** Fetches until the disk fails; answers what it began with. */
async function fetchOn(cache: BlobStore, nextBytes: () => Buffer): Promise<Digest[]> {
  const begun: Digest[] = [];
  try {
    for (;;) {
      const blob = blobOf(nextBytes());
      begun.push(blob.digest);
      await gather(cache, blob);
    }
  } catch {
    return begun;
  }
}

async function pushOne(storage: FsBlobStorage, bytes: Buffer, told: Acknowledged): Promise<void> {
  const upload = await storage.uploads.create();
  const half = Math.floor(bytes.length / 2);
  const progress = { bytes, offset: 0 };
  told.uploads.set(upload.id, progress);
  progress.offset = await upload.append(chunksOf(bytes.subarray(0, half)));
  await upload.append(chunksOf(bytes.subarray(half)), { isLast: true });
  const { digest } = await upload.commit(digestOf(bytes));
  told.uploads.delete(upload.id);
  told.blobs.add(digest);
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield await Promise.resolve(bytes.subarray(at, at + 65_536));
}

async function expectAll({ storage, keep }: Opened, told: Acknowledged): Promise<void> {
  for (const digest of told.blobs) {
    expect(await keep(digest), `${digest} is held`).toBe(true);
    await using reading = await storage.blobs.open(digest);
    const bytes = await collect(reading?.read({ start: 0, end: reading.sizeBytes }) ?? chunksOf(Buffer.alloc(0)));
    expect(digestOf(bytes)).toBe(digest);
  }
  for await (const { digest } of storage.blobs.list()) expect(await storage.blobs.verify(digest)).toBe('good');
}

/** Uploads go on at what was acknowledged of them, or behind it, unless they are the blob already. */
async function finishAll({ storage, keep }: Opened, told: Acknowledged): Promise<number> {
  let finished = 0;
  for (const [id, { bytes, offset }] of told.uploads) {
    const upload = await storage.uploads.open(id);
    if (upload === undefined) {
      if (offset > 0) expect(await keep(digestOf(bytes)), `upload ${id}`).toBe(true);
      continue;
    }
    expect(upload.offsetBytes, `upload ${id}`).toBeGreaterThanOrEqual(offset);
    await upload.append(chunksOf(bytes.subarray(upload.offsetBytes)), { isLast: true });
    await upload.commit(digestOf(bytes));
    finished += 1;
  }
  return finished;
}

test('what was acknowledged survives, whatever else the disk kept', { timeout: 60_000 }, async () => {
  const random = seededRandom(SEED);
  let survived = 0;
  let finished = 0;
  for (let run = 0; run < RUNS; run += 1) {
    await using directory = await makeTemporaryDirectory();
    const [before, after] = [join(directory.path, 'before'), join(directory.path, 'after')];
    const disk = new VolatileDisk(before);
    const told: Acknowledged = { blobs: new Set(), uploads: new Map() };
    await using opened = await open(join(before, PLACE), disk);
    disk.losesPowerAfter = disk.calls + 5 + Math.floor(random() * 150);
    let number = run * 1000;
    const nextBytes = (): Buffer => seededBytes(SIZES[Math.floor(random() * SIZES.length)] ?? 0, (number += 1));
    const fetching = fetchOn(opened.cache, nextBytes);
    await Promise.all(Array.from({ length: PUSHERS }, () => pushOn(opened.storage, nextBytes, told)));
    const fetched = await fetching;
    // Neither all nor nothing of what was not synced: each name by itself.
    const luck = [0, 1, 0.5][run % 3] ?? 0;
    await disk.recover(after, () => random() < luck);
    await using recovered = await open(join(after, PLACE));
    await expectAll(recovered, told);
    for (const digest of fetched) {
      const bytes = await contentIn(recovered.cache, digest);
      if (bytes !== undefined) expect(digestOf(bytes)).toBe(digest);
    }
    finished += await finishAll(recovered, told);
    survived += told.blobs.size;
  }
  expect([survived > RUNS, finished > RUNS / 2], `seed ${SEED}`).toEqual([true, true]);
});
