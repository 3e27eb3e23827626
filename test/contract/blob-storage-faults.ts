/**
 * What every driver of storage of record promises while what it rests on fails. Each call beneath it fails in its turn, once or
 * until the driver gives up; whoever pushes goes on as clients do, by asking for the offset, in the same process or the next.
 */
import { describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import type { BlobStorage, Upload } from '../../src/storage/blob-storage.ts';
import { STORAGE_ERRORS } from '../../src/storage/errors.ts';
import { collect, listAll, nameOf, seededBytes } from './blob-store-fixtures.ts';

/** A place whose ground can be made to fail. */
export interface FaultyPlace {
  open(): Promise<BlobStorage>;
  /** Counts calls from now on, and fails those that `fails` says, by their number from 0. */
  watch(fails: (call: number) => boolean): void;
  /** Calls since `watch`. */
  readonly calls: number;
}

export interface FaultSuite {
  readonly makePlace: () => Promise<FaultyPlace>;
  /** Several parts, where the driver has parts. */
  readonly sizeBytes: number;
  /** Runs at the same time, each in a place of its own: for a driver that waits more than it works. */
  readonly parallelRuns?: number;
}

const MAX_TRIES = 10;
const TIMEOUT_MS = 240_000;

/** Runs the suite for one kind of fault. */
export function describeStorageFaults(name: string, suite: FaultSuite): void {
  describe(`${name}: faults`, () => {
    test.for([
      { how: 'once', restarts: false },
      { how: 'until it is noticed', restarts: false },
      { how: 'until it is noticed', restarts: true },
    ] as const)('each call fails $how, restart: $restarts', { timeout: TIMEOUT_MS }, async ({ how, restarts }) => {
      const calls = await runWithFault(suite, () => false, false);
      expect(calls).toBeGreaterThan(5);
      const next = Array.from({ length: calls }, (_, call) => call).values();
      const runSome = async (): Promise<void> => {
        for (const failing of next)
          await runWithFault(suite, (call) => (how === 'once' ? call === failing : call >= failing), restarts);
      };
      await Promise.all(Array.from({ length: suite.parallelRuns ?? 1 }, runSome));
    });
  });
}

/** Pushes two blobs, reads them and deletes one, and answers how many calls that took. */
async function runWithFault(suite: FaultSuite, fails: (call: number) => boolean, restarts: boolean): Promise<number> {
  const place = await suite.makePlace();
  const [small, large] = [seededBytes(1000, 1), seededBytes(suite.sizeBytes, 2)];
  const run = new Run(place, await place.open(), restarts);
  await using _closed = { [Symbol.asyncDispose]: async () => await run.storage.close() };
  place.watch(fails);
  for (const bytes of [small, large]) await run.push(bytes);
  for (const bytes of [small, large]) await run.stubbornly(async () => await expectContent(run.storage, bytes));
  // A deletion whose answer was lost finds nothing when it is asked for again.
  const deleted = await run.stubbornly(async () => await run.storage.blobs.delete(digestOf(small)));
  expect(deleted || run.hasFailed).toBe(true);
  const { calls } = place;
  place.watch(() => false);
  const listed = await listAll(run.storage.blobs.list());
  expect(listed.map(({ digest, sizeBytes }) => ({ digest, sizeBytes }))).toEqual([
    { digest: digestOf(large), sizeBytes: large.length },
  ]);
  await expectContent(run.storage, large);
  await expectNoRemains(run);
  return calls;
}

/** A person with a client that tries again. */
class Run {
  storage: BlobStorage;
  hasFailed = false;
  readonly #place: FaultyPlace;
  readonly #restarts: boolean;

  constructor(place: FaultyPlace, storage: BlobStorage, restarts: boolean) {
    this.#place = place;
    this.storage = storage;
    this.#restarts = restarts;
  }

  async push(bytes: Buffer): Promise<void> {
    const digest = digestOf(bytes);
    let id: string | undefined;
    await this.stubbornly(async () => {
      const known = id === undefined ? undefined : await this.storage.uploads.open(id);
      // It ended where an earlier try published the blob and failed after that.
      if (id !== undefined && known === undefined && (await this.storage.blobs.stat(digest)) !== undefined) return;
      const upload = known ?? (await this.storage.uploads.create());
      ({ id } = upload);
      expectOffset(upload, 0, bytes.length);
      const from = upload.offsetBytes;
      const middle = from + Math.floor((bytes.length - from) / 2);
      await upload.append(inChunks(bytes.subarray(from, middle)));
      expectOffset(upload, middle, middle);
      await upload.append(inChunks(bytes.subarray(middle)), { isLast: true });
      await upload.commit(digest);
    });
  }

  async stubbornly<Result>(step: () => Promise<Result>): Promise<Result> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await step();
      } catch (error) {
        if (tries === MAX_TRIES || !isDockyardError(error) || !(error.code in STORAGE_ERRORS)) throw error;
        this.hasFailed = true;
        this.#place.watch(() => false);
        if (!this.#restarts) continue;
        await this.storage.close();
        this.storage = await this.#place.open();
      }
    }
  }
}

function expectOffset({ offsetBytes }: Upload, least: number, most: number): void {
  expect(offsetBytes).toBeGreaterThanOrEqual(least);
  expect(offsetBytes).toBeLessThanOrEqual(most);
}

async function expectContent(storage: BlobStorage, bytes: Buffer): Promise<void> {
  const digest: Digest = digestOf(bytes);
  await using reading = await storage.blobs.open(digest);
  expect(reading?.sizeBytes).toBe(bytes.length);
  if (reading === undefined) return;
  expect(nameOf(await collect(reading.read({ start: 0, end: bytes.length })))).toBe(nameOf(bytes));
}

/** What is left of an upload can be found and cleared away. */
async function expectNoRemains({ storage }: Run): Promise<void> {
  for (const { id } of await listAll(storage.uploads.list())) await (await storage.uploads.open(id))?.cancel();
  expect(await listAll(storage.uploads.list())).toEqual([]);
}

async function* inChunks(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield await Promise.resolve(bytes.subarray(at, at + 65_536));
}
