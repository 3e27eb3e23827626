import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import type { ScrubState } from '../../../src/seed/scrub-journal.ts';
import { ScrubMetrics } from '../../../src/seed/scrub-metrics.ts';
import { Scrubber, type ScrubberConfig } from '../../../src/seed/scrubber.ts';
import { MemoryBlobStorage, MemoryMedium } from '../../../src/storage/memory-blob-storage.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';

const NAME = parseRepositoryName('team/app');
const HOUR_MS = 3_600_000;

/** Time that passes only when everything waits for it. */
class WaitingClock {
  #nowMs = 1_000_000;
  readonly #sleeping = new Set<{ readonly untilMs: number; readonly wake: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  async sleep(delayMs: number, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { untilMs: this.#nowMs + delayMs, wake: resolve };
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    this.#sleeping.add(sleeper);
    await promise.finally(() => this.#sleeping.delete(sleeper));
  }

  /** Lets time pass, from one waking to the next, until `check` holds. */
  async until(check: () => boolean): Promise<void> {
    for (let step = 0; step < 100_000; step += 1) {
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      if (check()) return;
      const [next] = [...this.#sleeping].toSorted((one, other) => one.untilMs - other.untilMs);
      if (next === undefined) continue;
      this.#nowMs = Math.max(this.#nowMs, next.untilMs);
      this.#sleeping.delete(next);
      next.wake();
    }
    throw new Error('it never came to hold');
  }
}

/** A seed's storage with some blobs, a person who may have them too, and the scrubber. */
async function makeLab(blobCount = 3) {
  const clock = new WaitingClock();
  const medium = new MemoryMedium();
  const storage = new MemoryBlobStorage({ clock, medium });
  const catalog = await KeyedCatalog.over(new MemoryKeyValue());
  const originals = new Map<Digest, Buffer>();
  const put = async (bytes: Buffer): Promise<void> => {
    const upload = await storage.uploads.create();
    await upload.append(
      (async function* () {
        yield await Promise.resolve(bytes);
      })(),
    );
    await upload.commit(digestOf(bytes));
  };
  for (let index = 0; index < blobCount; index += 1) {
    const bytes = seededBytes(100_000, index + 1);
    const digest = digestOf(bytes);
    originals.set(digest, bytes);
    await put(bytes);
    await catalog.blobs.put(NAME, { digest, sizeBytes: bytes.length, linkedAtMs: 0 });
  }
  const digests = [...originals.keys()].toSorted();
  const lab = {
    clock,
    medium,
    catalog,
    storage,
    digests,
    /** Whether somebody has what is asked for. */
    isGiven: true,
    asked: [] as Digest[],
    verified: [] as Digest[],
    saved: undefined as ScrubState | undefined,
    metrics: new Registry(),
    damage: (digest: Digest): void => {
      const kept = medium.blobs.get(digest);
      const bytes = Buffer.from(originals.get(digest) ?? []);
      bytes[5] = (bytes[5] ?? 0) ^ 1;
      if (kept !== undefined) medium.blobs.set(digest, { ...kept, bytes });
    },
    start: (config: Partial<ScrubberConfig> = {}): Scrubber => {
      const scrubber = new Scrubber(
        {
          catalog,
          blobs: {
            ...storage.blobs,
            verify: async (digest, options) => {
              lab.verified.push(digest);
              return await storage.blobs.verify(digest, options);
            },
          },
          repair: async (digest) => {
            lab.asked.push(digest);
            if (lab.isGiven) await put(originals.get(digest) ?? Buffer.alloc(0));
            return lab.isGiven;
          },
          journal: {
            load: async () => await Promise.resolve(lab.saved),
            save: async (state) => {
              lab.saved = structuredClone(state);
              await Promise.resolve();
            },
          },
          metrics: new ScrubMetrics((lab.metrics = new Registry())),
          clock,
          log: pino({ level: 'silent' }),
        },
        { everyMs: HOUR_MS, rateBytesPerSecond: Infinity, content: true, ...config },
      );
      scrubber.start();
      return scrubber;
    },
    metric: async (name: string): Promise<Record<string, number>> => {
      const values = (await lab.metrics.getSingleMetric(name)?.get())?.values ?? [];
      return Object.fromEntries(values.map(({ labels, value }) => [Object.values(labels).join(' '), value]));
    },
  };
  return lab;
}

const hasEnded = (scrubber: Scrubber) => () => scrubber.report().lastEndAtMs !== undefined;

test('a pass reads all that is stored, and begins one interval after the first start', async () => {
  const lab = await makeLab();
  const startedAtMs = lab.clock.nowMs();
  await using scrubber = lab.start();
  await lab.clock.until(hasEnded(scrubber));
  expect(scrubber.report()).toMatchObject({
    counts: { blobs: 3, readBytes: 300_000, damaged: 0, missing: 0, repaired: 0 },
    lost: [],
    passStartedAtMs: undefined,
  });
  expect(lab.clock.nowMs()).toBe(startedAtMs + HOUR_MS);
  expect(lab.verified).toEqual(lab.digests);
  expect(await lab.metric('dockyard_scrub_blobs_total')).toEqual({ good: 3 });
  expect(await lab.metric('dockyard_scrub_read_bytes_total')).toEqual({ '': 300_000 });
});

test('a damaged blob and one that is missing are fetched from whoever has them', async () => {
  const lab = await makeLab();
  const [damaged, missing] = lab.digests as [Digest, Digest];
  lab.damage(damaged);
  lab.medium.blobs.delete(missing);
  await using scrubber = lab.start();
  await lab.clock.until(hasEnded(scrubber));
  expect(scrubber.report()).toMatchObject({ counts: { damaged: 1, missing: 1, repaired: 2 }, lost: [] });
  for (const digest of lab.digests) expect(await lab.storage.blobs.verify(digest)).toBe('good');
  expect(await lab.metric('dockyard_scrub_repairs_total')).toEqual({ repaired: 2 });
});

test('a blob of another length is found without reading the others', async () => {
  const lab = await makeLab();
  const [short] = lab.digests as [Digest];
  const kept = lab.medium.blobs.get(short);
  if (kept !== undefined) lab.medium.blobs.set(short, { ...kept, sizeBytes: 10, bytes: kept.bytes.subarray(0, 10) });
  await using scrubber = lab.start({ content: false });
  await lab.clock.until(hasEnded(scrubber));
  expect(lab.verified).toEqual([short]);
  expect(scrubber.report()).toMatchObject({ counts: { damaged: 1, repaired: 1, readBytes: 0 } });
  expect(await lab.storage.blobs.verify(short)).toBe('good');
});

test('what nobody can give is lost, also after a restart, until somebody gives it or it is pushed again', async () => {
  const lab = await makeLab();
  const [first, second] = lab.digests as [Digest, Digest];
  const pushed = lab.medium.blobs.get(second);
  lab.damage(first);
  lab.damage(second);
  lab.isGiven = false;
  {
    await using scrubber = lab.start();
    await lab.clock.until(hasEnded(scrubber));
    expect(scrubber.report().lost.map(({ digest, repository }) => [digest, repository])).toEqual([
      [first, NAME],
      [second, NAME],
    ]);
    expect(await lab.metric('dockyard_scrub_lost_blobs')).toEqual({ '': 2 });
  }
  await using scrubber = lab.start();
  await lab.clock.until(() => scrubber.report().lost.length === 2);
  if (pushed !== undefined) lab.medium.blobs.set(second, pushed);
  await lab.clock.until(() => scrubber.report().lost.length === 1);
  lab.isGiven = true;
  await lab.clock.until(() => scrubber.report().lost.length === 0);
  expect(await lab.storage.blobs.verify(first)).toBe('good');
  expect(await lab.metric('dockyard_scrub_lost_blobs')).toEqual({ '': 0 });
});

test('what no repository has any more is not asked of anybody', async () => {
  const lab = await makeLab();
  const [garbage] = lab.digests as [Digest];
  await lab.catalog.blobs.delete(NAME, garbage);
  lab.damage(garbage);
  await using scrubber = lab.start();
  await lab.clock.until(hasEnded(scrubber));
  expect(lab.asked).toEqual([]);
  expect(scrubber.report()).toMatchObject({ counts: { damaged: 1, missing: 0 }, lost: [] });
});

test('a pass keeps to its rate, and goes on after a restart where it stopped', async () => {
  const lab = await makeLab(10);
  const halfwayMs = lab.clock.nowMs() + HOUR_MS + 50_000;
  const config = { rateBytesPerSecond: 10_000 };
  {
    // Ten blobs take 100 s.
    await using scrubber = lab.start(config);
    await lab.clock.until(() => lab.clock.nowMs() >= halfwayMs);
    expect(scrubber.report().counts.readBytes).toBeGreaterThan(400_000);
    expect(scrubber.report().counts.readBytes).toBeLessThan(600_000);
  }
  const before = lab.saved?.counts.blobs ?? 0;
  expect(before).toBeGreaterThanOrEqual(4);
  lab.verified = [];
  await using scrubber = lab.start(config);
  await lab.clock.until(hasEnded(scrubber));
  expect(lab.verified).toEqual(lab.digests.slice(before));
  expect(scrubber.report().counts.blobs).toBe(10);
  expect(lab.clock.nowMs()).toBeGreaterThan(halfwayMs + 40_000);
});

test('without an interval nothing is ever read', async () => {
  const lab = await makeLab();
  await using scrubber = lab.start({ everyMs: 0 });
  await scrubber.close();
  expect(lab.saved).toBeUndefined();
  expect(lab.verified).toEqual([]);
});
