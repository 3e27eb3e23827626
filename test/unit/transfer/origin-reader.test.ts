import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { originError } from '../../../src/origin/errors.ts';
import type { OriginBlobs } from '../../../src/transfer/origin-feed.ts';
import { OriginReader } from '../../../src/transfer/origin-reader.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const PIECE_BYTES = 65_536;
const SIZE_BYTES = 3 * PIECE_BYTES;

/** A reader of an origin that cannot be reached, or of one that answers as is said. */
function readerOfNothing(answer: OriginBlobs['openBlob'] = async () => await Promise.reject(new Error('refused'))) {
  const abort = new AbortController();
  const onChange = vi.fn();
  const openBlob = vi.fn(answer);
  const reader = new OriginReader({
    memory: new BufferPool(0),
    origin: { openBlob, statBlob: async () => await Promise.resolve(undefined) },
    repository: { upstream: 'test.example', name: parseRepositoryName('team/app') },
    digest: digestOf(Buffer.alloc(0)),
    signal: abort.signal,
    knownGeometry: async () => await Promise.resolve(pieceGeometry(SIZE_BYTES)),
    onSize: async (sizeBytes) => await Promise.resolve(pieceGeometry(sizeBytes)),
    nextRun: () => ({ first: 0, count: 3 }),
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

test.each([
  ['breaks off', 'ERR_ORIGIN_UNAVAILABLE', 'idle'],
  // It was waited for long enough, several times: who has nobody else to ask is to say so.
  ['falls silent', 'ERR_ORIGIN_STALLED', 'failed'],
] as const)('after an answer that %s in the middle the reader may go on at once or not', async (_what, code, state) => {
  async function* body(): AsyncGenerator<Buffer> {
    yield await Promise.resolve(Buffer.alloc(PIECE_BYTES + 1));
    throw originError(code, 'no more');
  }
  const close = vi.fn();
  const { reader, onChange, abort } = readerOfNothing(
    async () => await Promise.resolve({ sizeBytes: SIZE_BYTES, body: body(), close }),
  );
  reader.start();
  await vi.waitFor(() => expect(onChange).toHaveBeenCalledTimes(1));
  expect([reader.state, reader.error, close.mock.calls.length]).toMatchObject([state, { code }, 1]);
  abort.abort();
});
