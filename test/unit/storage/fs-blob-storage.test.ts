/** What the driver for a disk does beyond the contract: one file for cache and record, and faults of the file system. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { openContent, type ContentConfig, type OpenedContent } from '../../../src/content/open-content.ts';
import { StoreLayout } from '../../../src/content/layout.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import { keepLinked } from '../../../src/seed/keep-linked.ts';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import type { Upload } from '../../../src/storage/blob-storage.ts';
import { STORAGE_ERRORS } from '../../../src/storage/errors.ts';
import { FsBlobStorage } from '../../../src/storage/fs-blob-storage.ts';
import {
  contentIn,
  gather,
  makeBlob,
  makeTemporaryDirectory,
  nameOf,
  seededBytes,
  tickingClock,
} from '../../contract/blob-store-fixtures.ts';
import { FaultyDisk } from '../../contract/faulty-disk.ts';

const MIB = 1024 * 1024;

interface OpenedStorage extends AsyncDisposable {
  readonly storage: FsBlobStorage;
  readonly content: OpenedContent;
}

async function openStorage(
  directory: string,
  config: Partial<ContentConfig> = {},
  disk?: FaultyDisk,
): Promise<OpenedStorage> {
  const log = pino({ level: 'silent' });
  const content = await openContent(
    { clock: tickingClock(), log, metrics: new Registry(), disk },
    {
      directory,
      maxSizeBytes: Infinity,
      pinnedIsBeside: true,
      minFreeDiskBytes: 0,
      maxManifestBytes: MIB,
      maxTags: 10,
      ...config,
    },
  );
  const storage = new FsBlobStorage({ record: content.record });
  const close = async (): Promise<void> => {
    await storage.close();
    await content.close();
  };
  return { storage, content, [Symbol.asyncDispose]: close };
}

async function* inChunks(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield await Promise.resolve(bytes.subarray(at, at + 65_536));
}

async function push(storage: FsBlobStorage, bytes: Buffer): Promise<Digest> {
  const upload = await storage.uploads.create();
  await upload.append(inChunks(bytes), { isLast: true });
  return (await upload.commit(digestOf(bytes))).digest;
}

describe('one file for cache and record', () => {
  test('a blob that was fetched before is one of record once it is pushed, in the same file', async () => {
    await using directory = await makeTemporaryDirectory();
    await using opened = await openStorage(directory.path);
    const { storage, content } = opened;
    const blob = makeBlob(3 * MIB, 1);
    await gather(content.blobs, blob);
    expect(await storage.blobs.stat(blob.digest)).toBeUndefined();
    const file = new StoreLayout(directory.path).blobFile(blob.digest);
    const { ino } = await stat(file);
    await push(storage, blob.bytes);
    expect((await stat(file)).ino).toBe(ino);
    expect(content.blobs.stat(blob.digest)?.pinned).toBe(true);
    expect(await readdir(new StoreLayout(directory.path).uploadsFolder)).toEqual([]);
  });

  test('what is of record is never evicted, nor counted against what may be fetched', async () => {
    await using directory = await makeTemporaryDirectory();
    await using opened = await openStorage(directory.path, { maxSizeBytes: 2 * MIB });
    const { storage, content } = opened;
    const pushed = [seededBytes(3 * MIB, 2), seededBytes(4 * MIB, 3)];
    for (const bytes of pushed) await push(storage, bytes);
    const fetched = Array.from({ length: 4 }, (_, index) => makeBlob(MIB, 10 + index));
    for (const blob of fetched) await gather(content.blobs, blob);
    const held = fetched.filter(({ digest }) => content.blobs.stat(digest) !== undefined);
    expect(held).toEqual(fetched.slice(2));
    for (const bytes of pushed) expect(nameOf(await contentIn(content.blobs, digestOf(bytes)))).toBe(nameOf(bytes));
  });

  test('what the catalog links is marked anew at start, when the mark was lost', async () => {
    await using directory = await makeTemporaryDirectory();
    await using opened = await openStorage(directory.path);
    const { storage, content } = opened;
    const [lost, gone] = [await push(storage, seededBytes(1000, 4)), digestOf(Buffer.from('gone'))];
    await content.blobs.setPinned(lost, false);
    const catalog = await KeyedCatalog.over(new MemoryKeyValue());
    for (const name of ['a/app', 'b/app']) {
      for (const digest of [lost, gone]) {
        await catalog.blobs.put(parseRepositoryName(name), { digest, sizeBytes: 1000, linkedAtMs: 1 });
      }
    }
    const { record } = content;
    await keepLinked({
      catalog,
      isKept: (digest) => record.stat(digest) !== undefined,
      keep: async (digest) => await record.pin(digest),
      log: pino({ level: 'silent' }),
    });
    expect(await storage.blobs.stat(lost)).toMatchObject({ sizeBytes: 1000 });
    expect(await storage.blobs.stat(gone)).toBeUndefined();
  });
});

describe('faults of the file system', () => {
  const bytes = seededBytes(3 * MIB + 17, 5);
  const codes = new Set(Object.keys(STORAGE_ERRORS));

  /** Runs a step again when it failed, once; what it fails with is one of ours. */
  async function twice<Result>(step: () => Promise<Result>, failures: string[]): Promise<Result> {
    try {
      return await step();
    } catch (error) {
      expect(isDockyardError(error) && codes.has(error.code), String(error)).toBe(true);
      failures.push(isDockyardError(error) ? error.code : '');
      return await step();
    }
  }

  /** A push in two chunks, each of which goes on where the upload stands. */
  async function pushThrough(storage: FsBlobStorage): Promise<string[]> {
    const failures: string[] = [];
    const upload: Upload = await twice(async () => await storage.uploads.create(), failures);
    for (const end of [2 * MIB, bytes.length]) {
      await twice(async () => {
        expect(upload.offsetBytes).toBeLessThanOrEqual(end);
        return await upload.append(inChunks(bytes.subarray(upload.offsetBytes, end)));
      }, failures);
      expect(upload.offsetBytes).toBe(end);
    }
    await twice(async () => {
      const stored = await storage.blobs.stat(digestOf(bytes));
      return stored ?? (await upload.commit(digestOf(bytes)));
    }, failures);
    return failures;
  }

  async function countCalls(): Promise<number> {
    await using directory = await makeTemporaryDirectory();
    const disk = new FaultyDisk(['setMode', 'unlink']);
    await using opened = await openStorage(directory.path, {}, disk);
    disk.calls = [];
    expect(await pushThrough(opened.storage)).toEqual([]);
    return disk.calls.length;
  }

  test.each(['EIO', 'ENOSPC'])('%s at any call costs one step at most, and never a byte', async (code) => {
    const callCount = await countCalls();
    expect(callCount).toBeGreaterThan(10);
    let failed = 0;
    for (let failing = 0; failing < callCount; failing += 1) {
      await using directory = await makeTemporaryDirectory();
      const disk = new FaultyDisk(['setMode', 'unlink']);
      await using opened = await openStorage(directory.path, {}, disk);
      let call = 0;
      disk.fault = () => {
        call += 1;
        if (call === failing + 1) throw Object.assign(new Error(`${code}: injected`), { code });
      };
      const failures = await pushThrough(opened.storage);
      failed += failures.length;
      expect(failures.length, `call ${failing}`).toBeLessThanOrEqual(1);
      expect(nameOf(await contentIn(opened.content.blobs, digestOf(bytes))), `call ${failing}`).toBe(nameOf(bytes));
      expect(opened.content.blobs.stat(digestOf(bytes))?.pinned).toBe(true);
    }
    expect(failed).toBeGreaterThan(callCount / 2);
  });

  test('an fsync that failed takes back what it was for, so that no offset is claimed that may be lost', async () => {
    await using directory = await makeTemporaryDirectory();
    const disk = new FaultyDisk();
    await using opened = await openStorage(directory.path, {}, disk);
    const upload = await opened.storage.uploads.create();
    await upload.append(inChunks(bytes.subarray(0, 1_000_000)));
    disk.fault = (call) => {
      if (call === 'sync') throw Object.assign(new Error('EIO: injected'), { code: 'EIO' });
    };
    await expect(upload.append(inChunks(bytes.subarray(1_000_000)))).rejects.toMatchObject({ code: 'ERR_STORAGE_IO' });
    expect(upload.offsetBytes).toBe(1_000_000);
    disk.fault = () => undefined;
    await upload.append(inChunks(bytes.subarray(1_000_000)));
    await upload.commit(digestOf(bytes));
    expect(nameOf(await contentIn(opened.content.blobs, digestOf(bytes)))).toBe(nameOf(bytes));
    expect(await readdir(join(directory.path, 'content', 'uploads'))).toEqual([]);
  });
});
