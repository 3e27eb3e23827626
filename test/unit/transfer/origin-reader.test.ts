import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { OriginReader } from '../../../src/transfer/origin-reader.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A reader of an origin that cannot be reached. */
function readerOfNothing() {
  const abort = new AbortController();
  const onChange = vi.fn();
  const openBlob = vi.fn(async () => await Promise.reject(new Error('connection refused')));
  const reader = new OriginReader({
    memory: new BufferPool(0),
    origin: { openBlob, statBlob: async () => await Promise.resolve(undefined) },
    repository: { upstream: 'test.example', name: parseRepositoryName('team/app') },
    digest: digestOf(Buffer.alloc(0)),
    signal: abort.signal,
    knownGeometry: async () => await Promise.resolve(pieceGeometry(100)),
    onSize: async (sizeBytes) => await Promise.resolve(pieceGeometry(sizeBytes)),
    nextRun: () => ({ first: 0, count: 1 }),
    claim: () => true,
    claimLent: () => true,
    release: () => undefined,
    onPiece: async () => await Promise.resolve(),
    onBatch: () => undefined,
    onChange,
  });
  return { reader, abort, onChange, openBlob };
}

test('an origin that failed may be tried again after a while, and each time again', async () => {
  const { reader, abort, onChange, openBlob } = readerOfNothing();
  for (const attempts of [1, 2]) {
    reader.start();
    // A further attempt begins with a short pause, which is real.
    await vi.waitFor(() => expect([reader.state, openBlob.mock.calls.length]).toEqual(['failed', attempts]));
    reader.start();
    onChange.mockClear();
    await vi.advanceTimersByTimeAsync(2_000);
    expect([reader.state, openBlob.mock.calls.length]).toEqual(['failed', attempts]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reader.state, onChange.mock.calls.length]).toEqual(['idle', 1]);
  }
  abort.abort();
});

test('nothing is left of a reader whose journey is over', async () => {
  const { reader, abort, onChange } = readerOfNothing();
  reader.start();
  await vi.advanceTimersByTimeAsync(0);
  onChange.mockClear();
  abort.abort();
  expect(vi.getTimerCount()).toBe(0);
  await vi.advanceTimersByTimeAsync(10_000);
  expect([reader.state, onChange.mock.calls.length]).toEqual(['failed', 0]);
});
