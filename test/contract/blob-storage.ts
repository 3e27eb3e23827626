/** What every driver of storage of record promises. A driver's own test calls `describeBlobStorage` and adds its specifics. */
import { describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import type { BlobStorage, Upload } from '../../src/storage/blob-storage.ts';
import { collect, listAll, nameOf, seededBytes } from './blob-store-fixtures.ts';

/** A place where a driver keeps things: empty at first, and opened as often as a test needs it. */
export interface StoragePlace {
  open(): Promise<BlobStorage>;
  /** Changes a byte of a blob behind the driver's back. */
  damage(digest: Digest): Promise<void>;
}

export interface StorageSuite {
  /** The largest blob of the suite; small for what is slow. */
  readonly largeBytes: number;
  readonly makePlace: () => Promise<StoragePlace>;
}

const MIB = 1024 * 1024;

/** Runs the suite against a driver. */
export function describeBlobStorage(name: string, suite: StorageSuite): void {
  const { largeBytes, makePlace } = suite;
  const empty = async (): Promise<BlobStorage> => await (await makePlace()).open();

  describe(`${name}: blobs of record`, () => {
    test.for([0, 1, 65_537, MIB - 1, MIB, MIB + 1, 5 * MIB + 3])(
      'a blob of %i bytes is pushed and read back',
      async (size) => {
        await using storage = await empty();
        const bytes = seededBytes(size, 1);
        const stored = await push(storage, bytes);
        expect(stored).toMatchObject({ digest: digestOf(bytes), sizeBytes: size });
        expect(await storage.blobs.stat(stored.digest)).toEqual(stored);
        expect(nameOf(await contentOf(storage, stored.digest))).toBe(nameOf(bytes));
      },
    );

    test('a blob is read from any offset to any end', async () => {
      await using storage = await empty();
      const bytes = seededBytes(3 * MIB + 11, 2);
      const { digest } = await push(storage, bytes);
      await using reading = await storage.blobs.open(digest);
      for (const [start, end] of [
        [0, 0],
        [0, 1],
        [MIB - 1, MIB + 1],
        [3 * MIB + 10, 3 * MIB + 11],
        [3 * MIB + 11, 3 * MIB + 11],
        [5, 3 * MIB],
      ] as const) {
        expect(nameOf(await collect(reading?.read({ start, end }) ?? nothing()))).toBe(
          nameOf(bytes.subarray(start, end)),
        );
      }
      await expect(collect(reading?.read({ start: 0, end: bytes.length + 1 }) ?? nothing())).rejects.toThrow(
        RangeError,
      );
    });

    test('a damaged blob is found and set aside, and can be pushed again', async () => {
      const place = await makePlace();
      await using storage = await place.open();
      const [bytes, other] = [seededBytes(300_000, 21), seededBytes(1000, 22)];
      const [{ digest }, { digest: good }] = [await push(storage, bytes), await push(storage, other)];
      let readBytes = 0;
      const onRead = async (count: number): Promise<void> => await Promise.resolve(void (readBytes += count));
      expect(await storage.blobs.verify(digest, { onRead })).toBe('good');
      expect(readBytes).toBe(bytes.length);
      await place.damage(digest);
      expect(await storage.blobs.verify(digest)).toBe('damaged');
      expect(await storage.blobs.verify(digest)).toBe('missing');
      expect(await storage.blobs.stat(digest)).toBeUndefined();
      expect(await storage.blobs.open(digest)).toBeUndefined();
      expect((await listAll(storage.blobs.list())).map((blob) => blob.digest)).toEqual([good]);
      await push(storage, bytes);
      expect(await storage.blobs.verify(digest)).toBe('good');
      expect(nameOf(await contentOf(storage, digest))).toBe(nameOf(bytes));
    });

    test('to verify a blob is given up when it is told to', async () => {
      await using storage = await empty();
      const { digest } = await push(storage, seededBytes(300_000, 23));
      const giving = new AbortController();
      const onRead = async (): Promise<void> => await Promise.resolve(giving.abort());
      await expect(storage.blobs.verify(digest, { signal: giving.signal, onRead })).rejects.toThrow('aborted');
      expect(await storage.blobs.verify(digest)).toBe('good');
    });

    test('one opened blob is read at several places at once', async () => {
      await using storage = await empty();
      const bytes = seededBytes(2 * MIB, 3);
      const { digest } = await push(storage, bytes);
      await using reading = await storage.blobs.open(digest);
      const ranges = Array.from({ length: 8 }, (_, index) => ({ start: index * 1000, end: 2 * MIB - index * 777 }));
      const read = await Promise.all(
        ranges.map(async (range) => nameOf(await collect(reading?.read(range) ?? nothing()))),
      );
      expect(read).toEqual(ranges.map(({ start, end }) => nameOf(bytes.subarray(start, end))));
    });

    test('a blob is named by sha512 where the commit says so, whatever was hashed before', async () => {
      await using storage = await empty();
      for (const bytes of [seededBytes(10, 4), seededBytes(2 * MIB, 5)]) {
        const digest = digestOf(bytes, 'sha512');
        const upload = await storage.uploads.create();
        await upload.append(inChunks(bytes, 100_000));
        expect(await upload.commit(digest)).toMatchObject({ digest, sizeBytes: bytes.length });
        expect(await storage.blobs.stat(digestOf(bytes))).toBeUndefined();
        expect(nameOf(await contentOf(storage, digest))).toBe(nameOf(bytes));
      }
    });

    test('chunks that were given back may change', async () => {
      await using storage = await empty();
      const bytes = seededBytes(3 * MIB + 11, 31);
      const upload = await storage.uploads.create();
      await upload.append(inChunks(Buffer.from(bytes), 65_536), { isLast: true, recycle: (chunk) => chunk.fill(0) });
      expect(await upload.commit(digestOf(bytes))).toMatchObject({ sizeBytes: bytes.length });
      expect(nameOf(await contentOf(storage, digestOf(bytes)))).toBe(nameOf(bytes));
    });

    test('what is not there is answered with undefined or false', async () => {
      await using storage = await empty();
      const digest = digestOf(Buffer.from('nobody pushed this'));
      expect(await storage.blobs.stat(digest)).toBeUndefined();
      expect(await storage.blobs.open(digest)).toBeUndefined();
      expect(await storage.blobs.delete(digest)).toBe(false);
    });

    test('a deleted blob is gone, whoever reads it reads on, and it may be pushed again', async () => {
      await using storage = await empty();
      const bytes = seededBytes(2 * MIB, 6);
      const { digest } = await push(storage, bytes);
      await using reading = await storage.blobs.open(digest);
      const chunks = reading?.read({ start: 0, end: bytes.length })[Symbol.asyncIterator]();
      const first = await chunks?.next();
      expect(await storage.blobs.delete(digest)).toBe(true);
      expect(await storage.blobs.stat(digest)).toBeUndefined();
      expect(await storage.blobs.delete(digest)).toBe(false);
      const rest: Uint8Array[] = [];
      for (let next = await chunks?.next(); next?.done === false; next = await chunks?.next()) rest.push(next.value);
      const whole = Buffer.concat([...(first?.done === false ? [first.value] : []), ...rest]);
      expect(nameOf(whole)).toBe(nameOf(bytes));
      await push(storage, bytes);
      expect(nameOf(await contentOf(storage, digest))).toBe(nameOf(bytes));
    });

    test('pushing what is there already changes nothing, not even its time', async () => {
      await using storage = await empty();
      const bytes = seededBytes(70_000, 7);
      const first = await push(storage, bytes);
      expect(await push(storage, bytes)).toEqual(first);
      expect(await listAll(storage.blobs.list())).toEqual([first]);
      expect(await listAll(storage.uploads.list())).toEqual([]);
    });

    test('a list goes by digest, and from where the caller stopped', async () => {
      await using storage = await empty();
      const digests: Digest[] = [];
      for (let seed = 0; seed < 20; seed += 1) digests.push((await push(storage, seededBytes(100, seed + 1))).digest);
      digests.sort();
      const listed = async (after?: Digest): Promise<Digest[]> =>
        (await listAll(storage.blobs.list({ after }))).map(({ digest }) => digest);
      expect(await listed()).toEqual(digests);
      expect(await listed(digests[7])).toEqual(digests.slice(8));
      await storage.blobs.delete(digests[8] ?? digestOf(Buffer.alloc(0)));
      expect(await listed(digests[8])).toEqual(digests.slice(9));
      expect(await listed(digests.at(-1))).toEqual([]);
    });

    test('an abort comes through as one', async () => {
      await using storage = await empty();
      const { digest } = await push(storage, seededBytes(10, 8));
      const signal = AbortSignal.abort();
      const aborted = { name: 'AbortError' };
      await expect(storage.blobs.stat(digest, { signal })).rejects.toMatchObject(aborted);
      await expect(storage.blobs.open(digest, { signal })).rejects.toMatchObject(aborted);
      await expect(storage.blobs.delete(digest, { signal })).rejects.toMatchObject(aborted);
      await expect(listAll(storage.blobs.list({ signal }))).rejects.toMatchObject(aborted);
      await expect(storage.uploads.create({ signal })).rejects.toMatchObject(aborted);
      expect(await storage.blobs.stat(digest)).toBeDefined();
    });

    test('a closed storage says so, and closing twice is harmless', async () => {
      const storage = await empty();
      const { digest } = await push(storage, seededBytes(10, 9));
      await storage.close();
      await storage.close();
      await expect(storage.blobs.stat(digest)).rejects.toMatchObject({ code: 'ERR_STORAGE_CLOSED' });
      await expect(storage.uploads.create()).rejects.toMatchObject({ code: 'ERR_STORAGE_CLOSED' });
    });
  });

  describe(`${name}: uploads`, () => {
    test('an upload takes bytes in chunks of any size, and knows its offset after each', async () => {
      await using storage = await empty();
      const bytes = seededBytes(largeBytes, 10);
      const upload = await storage.uploads.create();
      let at = 0;
      for (const size of [1, 0, 99, 64 * 1024, MIB, 3, largeBytes]) {
        const chunk = bytes.subarray(at, at + size);
        at += chunk.length;
        expect(await upload.append(inChunks(chunk, 37_000))).toBe(at);
        expect(upload.offsetBytes).toBe(at);
      }
      expect(await upload.commit(digestOf(bytes))).toMatchObject({ sizeBytes: largeBytes });
      expect(nameOf(await contentOf(storage, digestOf(bytes)))).toBe(nameOf(bytes));
    });

    test('wrong bytes never become a blob, and end the upload', async () => {
      await using storage = await empty();
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const digest = digestOf(Buffer.from('what was promised'), algorithm);
        const upload = await storage.uploads.create();
        await upload.append(inChunks(Buffer.from('something else'), 5));
        await expect(upload.commit(digest)).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
        expect(await storage.blobs.stat(digest)).toBeUndefined();
        expect(await storage.uploads.open(upload.id)).toBeUndefined();
      }
    });

    test('a source that fails leaves a true offset, from which the upload goes on', async () => {
      await using storage = await empty();
      const bytes = seededBytes(3 * MIB, 11);
      const upload = await storage.uploads.create();
      const failure = new Error('the client went away');
      await expect(upload.append(failingAfter(bytes.subarray(0, 2 * MIB), failure))).rejects.toBe(failure);
      expect(upload.offsetBytes).toBeGreaterThanOrEqual(0);
      expect(upload.offsetBytes).toBeLessThanOrEqual(2 * MIB);
      await upload.append(inChunks(bytes.subarray(upload.offsetBytes), 65_536));
      await upload.commit(digestOf(bytes));
      expect(nameOf(await contentOf(storage, digestOf(bytes)))).toBe(nameOf(bytes));
    });

    test('an aborted append leaves a true offset too', async () => {
      await using storage = await empty();
      const bytes = seededBytes(2 * MIB, 12);
      const upload = await storage.uploads.create();
      const controller = new AbortController();
      const source = async function* (): AsyncGenerator<Buffer> {
        yield* inChunks(bytes.subarray(0, MIB), 65_536);
        controller.abort();
        yield* inChunks(bytes.subarray(MIB), 65_536);
      };
      await expect(upload.append(source(), { signal: controller.signal })).rejects.toMatchObject({
        name: 'AbortError',
      });
      await upload.append(inChunks(bytes.subarray(upload.offsetBytes), 65_536));
      await upload.commit(digestOf(bytes));
      expect(await storage.blobs.stat(digestOf(bytes))).toBeDefined();
    });

    test('a second writer is refused, and harms nothing', async () => {
      await using storage = await empty();
      const bytes = seededBytes(200_000, 13);
      const upload = await storage.uploads.create();
      const gate = Promise.withResolvers<void>();
      const slow = async function* (): AsyncGenerator<Buffer> {
        yield bytes.subarray(0, 100_000);
        await gate.promise;
        yield bytes.subarray(100_000);
      };
      const first = upload.append(slow());
      const same = await storage.uploads.open(upload.id);
      const busy = { code: 'ERR_UPLOAD_BUSY' };
      await expect(same?.append(inChunks(bytes, 1000))).rejects.toMatchObject(busy);
      await expect(same?.commit(digestOf(bytes))).rejects.toMatchObject(busy);
      await expect(same?.cancel()).rejects.toMatchObject(busy);
      gate.resolve();
      expect(await first).toBe(bytes.length);
      expect(await same?.commit(digestOf(bytes))).toMatchObject({ sizeBytes: bytes.length });
    });

    test('an upload that ended is not found, and says so to whoever still has it', async () => {
      await using storage = await empty();
      const bytes = seededBytes(1000, 14);
      const [committed, cancelled] = [await storage.uploads.create(), await storage.uploads.create()];
      await committed.append(inChunks(bytes, 1000), { isLast: true });
      await committed.commit(digestOf(bytes));
      await cancelled.append(inChunks(bytes, 1000));
      await cancelled.cancel();
      await cancelled.cancel();
      for (const upload of [committed, cancelled]) {
        expect(await storage.uploads.open(upload.id)).toBeUndefined();
        await expect(upload.append(inChunks(bytes, 10))).rejects.toMatchObject({ code: 'ERR_UPLOAD_ENDED' });
        await expect(upload.commit(digestOf(bytes))).rejects.toMatchObject({ code: 'ERR_UPLOAD_ENDED' });
      }
      expect(await listAll(storage.uploads.list())).toEqual([]);
    });

    test('uploads are listed with the time of their last bytes', async () => {
      await using storage = await empty();
      const uploads = [await storage.uploads.create(), await storage.uploads.create()];
      await uploads[0]?.append(inChunks(Buffer.from('bytes'), 5));
      const listed = await listAll(storage.uploads.list());
      expect(listed.map(({ id }) => id).toSorted()).toEqual(uploads.map(({ id }) => id).toSorted());
      for (const { changedAtMs } of listed) expect(changedAtMs).toBeGreaterThan(0);
    });

    test.for(['', '../../etc/passwd', 'a'.repeat(31), 'A'.repeat(32), `${'a'.repeat(32)}/x`, 'f'.repeat(32)])(
      'no upload is named %j',
      async (id) => {
        await using storage = await empty();
        expect(await storage.uploads.open(id)).toBeUndefined();
      },
    );

    test('several push the same blob at once, and all of them succeed', async () => {
      await using storage = await empty();
      const bytes = seededBytes(MIB + 5, 15);
      const stored = await Promise.all(Array.from({ length: 6 }, async () => await push(storage, bytes)));
      expect(new Set(stored.map(({ digest, sizeBytes }) => `${digest} ${sizeBytes}`)).size).toBe(1);
      expect(nameOf(await contentOf(storage, digestOf(bytes)))).toBe(nameOf(bytes));
      expect(await listAll(storage.uploads.list())).toEqual([]);
    });
  });

  describe(`${name}: after a restart`, () => {
    test('blobs are there, and an upload goes on at its true offset', async () => {
      const place = await makePlace();
      const [kept, resumed] = [seededBytes(200_000, 16), seededBytes(largeBytes, 17)];
      let id: string;
      {
        await using storage = await place.open();
        await push(storage, kept);
        const upload: Upload = await storage.uploads.create();
        await upload.append(inChunks(resumed.subarray(0, 1_500_000), 65_536));
        ({ id } = upload);
      }
      await using storage = await place.open();
      expect(nameOf(await contentOf(storage, digestOf(kept)))).toBe(nameOf(kept));
      const upload = await storage.uploads.open(id);
      expect(upload?.offsetBytes).toBe(1_500_000);
      await upload?.append(inChunks(resumed.subarray(1_500_000), 65_536));
      await upload?.commit(digestOf(resumed));
      expect(nameOf(await contentOf(storage, digestOf(resumed)))).toBe(nameOf(resumed));
    });

    test('an upload that was complete is committed, with either algorithm', async () => {
      const place = await makePlace();
      const bytes = seededBytes(300_000, 18);
      for (const algorithm of ['sha256', 'sha512'] as const) {
        let id: string;
        {
          await using storage = await place.open();
          const upload = await storage.uploads.create();
          await upload.append(inChunks(bytes, 65_536));
          ({ id } = upload);
        }
        await using storage = await place.open();
        const upload = await storage.uploads.open(id);
        expect(await upload?.commit(digestOf(bytes, algorithm))).toMatchObject({ sizeBytes: bytes.length });
      }
    });
  });
}

/** Pushes bytes as one upload. */
async function push(storage: BlobStorage, bytes: Buffer): Promise<Awaited<ReturnType<Upload['commit']>>> {
  const upload = await storage.uploads.create();
  await upload.append(inChunks(bytes, 65_536), { isLast: true });
  return await upload.commit(digestOf(bytes));
}

/** All bytes of a blob, or `undefined`. */
async function contentOf(storage: BlobStorage, digest: Digest): Promise<Buffer | undefined> {
  await using reading = await storage.blobs.open(digest);
  return reading === undefined ? undefined : await collect(reading.read({ start: 0, end: reading.sizeBytes }));
}

/** Stands for a reading that is not there; no test expects it. */
async function* nothing(): AsyncGenerator<Buffer> {
  yield await Promise.reject<Buffer>(new Error('there is nothing to read'));
}

/** Bytes as a client sends them. */
async function* inChunks(bytes: Buffer, chunkBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    yield await Promise.resolve(bytes.subarray(at, Math.min(bytes.length, at + chunkBytes)));
  }
}

async function* failingAfter(bytes: Buffer, failure: Error): AsyncGenerator<Buffer> {
  yield* inChunks(bytes, 65_536);
  throw failure;
}
