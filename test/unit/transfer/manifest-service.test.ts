import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { BlobSizeHints } from '../../../src/transfer/manifest-sizes.ts';
import { OriginListService } from '../../../src/transfer/manifest-lists.ts';
import { BY_TAG, LATEST, makeHarness, makeManifest, REPOSITORY } from './manifest-fixture.ts';

const ONE = makeManifest(1);
const TWO = makeManifest(2);

describe('a tag', () => {
  test('is asked for at the upstream once, and then served without it until its time is over', async () => {
    const { origin, get, clock } = makeHarness();
    origin.give(ONE);
    expect((await get())?.digest).toBe(ONE.digest);
    clock.atMs += 60_000;
    expect(await get()).toMatchObject({ digest: ONE.digest, bytes: ONE.bytes });
    expect(origin.asked).toEqual(['HEAD latest', 'GET digest']);
    clock.atMs += 1;
    expect((await get())?.staleForMs).toBeUndefined();
    expect(origin.asked).toEqual(['HEAD latest', 'GET digest', 'HEAD latest']);
  });

  test('that moved is served anew', async () => {
    const { origin, get, clock } = makeHarness();
    origin.give(ONE);
    await get();
    origin.give(TWO);
    clock.atMs += 60_001;
    expect((await get())?.digest).toBe(TWO.digest);
  });

  test('that is gone at the upstream is gone here', async () => {
    const { origin, store, get, clock } = makeHarness();
    origin.give(ONE);
    await get();
    origin.tag = undefined;
    clock.atMs += 60_001;
    expect(await get()).toBeUndefined();
    expect(store.tags.size).toBe(0);
  });

  test('whose clock was set back is asked for again', async () => {
    const { origin, get, clock } = makeHarness();
    origin.give(ONE);
    await get();
    clock.atMs -= 10_000;
    await get();
    expect(origin.asked.filter((what) => what === 'HEAD latest')).toHaveLength(2);
  });

  test('is never answered without the bytes of its manifest', async () => {
    const { origin, store, get } = makeHarness();
    origin.tag = ONE.digest;
    expect(await get()).toBeUndefined();
    expect(store.tags.size).toBe(0);
  });

  test('whose manifest was evicted is served again from the upstream', async () => {
    const { origin, store, get } = makeHarness();
    origin.give(ONE);
    await get();
    store.manifests.clear();
    expect((await get())?.digest).toBe(ONE.digest);
    expect(origin.asked).toEqual(['HEAD latest', 'GET digest', 'GET digest']);
  });

  test('is asked for once, however many wait, and each may give up alone', async () => {
    const { origin, get } = makeHarness();
    origin.give(ONE);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    origin.gate = promise;
    const leaver = new AbortController();
    const waiting = [get(), get(), get()];
    const left = get(BY_TAG, leaver.signal);
    await expect.poll(() => origin.asked).toEqual(['HEAD latest']);
    leaver.abort();
    await expect(left).rejects.toThrow(/abort/i);
    resolve(undefined);
    expect((await Promise.all(waiting)).map((manifest) => manifest?.digest)).toEqual([
      ONE.digest,
      ONE.digest,
      ONE.digest,
    ]);
    expect(origin.asked).toEqual(['HEAD latest', 'GET digest']);
  });

  test('is served though the store cannot keep it', async () => {
    const { origin, store, get } = makeHarness();
    origin.give(ONE);
    store.isFull = true;
    expect((await get())?.digest).toBe(ONE.digest);
  });
});

describe('a tag whose upstream cannot be asked', () => {
  test.each([
    'ERR_ORIGIN_UNAVAILABLE',
    'ERR_ORIGIN_RATE_LIMITED',
    'ERR_ORIGIN_STALLED',
    'ERR_ORIGIN_BAD_ANSWER',
  ] as const)('for %s is answered as last known, marked stale and counted', async (trouble) => {
    const { origin, get, clock, metric } = makeHarness();
    origin.give(ONE);
    await get();
    origin.trouble = trouble;
    clock.atMs += 90_000;
    expect(await get()).toMatchObject({ digest: ONE.digest, staleForMs: 90_000 });
    expect(origin.patience).toEqual([undefined, 3_000]);
    expect(await metric('dockyard_manifests_stale_total')).toBe(1);
  });

  test('is answered by the peer that asked last', async () => {
    const { origin, peers, get, clock, store } = makeHarness();
    origin.give(ONE);
    await get();
    origin.trouble = 'ERR_ORIGIN_UNAVAILABLE';
    clock.atMs += 90_000;
    peers.tag = {
      digest: TWO.digest,
      mediaType: TWO.mediaType,
      sizeBytes: TWO.bytes.length,
      checkedAtMs: clock.atMs - 10_000,
    };
    peers.manifests.set(TWO.digest, TWO);
    expect(await get()).toMatchObject({ digest: TWO.digest, staleForMs: 10_000 });
    expect((await store.getTag(REPOSITORY, LATEST))?.checkedAtMs).toBe(clock.atMs - 10_000);
  });

  test('is answered as known here when the fresher answer of a peer cannot be delivered', async () => {
    const { origin, peers, get, clock } = makeHarness();
    origin.give(ONE);
    await get();
    origin.trouble = 'ERR_ORIGIN_UNAVAILABLE';
    clock.atMs += 90_000;
    peers.tag = { digest: TWO.digest, mediaType: TWO.mediaType, sizeBytes: 1, checkedAtMs: clock.atMs + 5_000 };
    expect((await get())?.digest).toBe(ONE.digest);
  });

  test('and that nobody knows is the error of the upstream', async () => {
    const { origin, peers, get } = makeHarness();
    origin.trouble = 'ERR_ORIGIN_RATE_LIMITED';
    peers.failure = new Error('no route to peers');
    await expect(get()).rejects.toMatchObject({ code: 'ERR_ORIGIN_RATE_LIMITED' });
  });

  test('because it denies access is a denial, whatever is known', async () => {
    const { origin, get, clock } = makeHarness();
    origin.give(ONE);
    await get();
    origin.trouble = 'ERR_ORIGIN_DENIED';
    clock.atMs += 90_000;
    await expect(get()).rejects.toMatchObject({ code: 'ERR_ORIGIN_DENIED' });
  });
});

describe('a digest', () => {
  const BY_DIGEST = { kind: 'digest', digest: ONE.digest } as const;

  test('that is held needs nobody', async () => {
    const { origin, peers, store, get } = makeHarness();
    store.manifests.set(ONE.digest, ONE);
    expect((await get(BY_DIGEST))?.bytes).toBe(ONE.bytes);
    expect([origin.asked.length, peers.asked]).toEqual([0, 0]);
  });

  test('that a peer holds needs no upstream, and is kept', async () => {
    const { origin, peers, store, get } = makeHarness();
    origin.trouble = 'ERR_ORIGIN_UNAVAILABLE';
    peers.manifests.set(ONE.digest, ONE);
    expect((await get(BY_DIGEST))?.digest).toBe(ONE.digest);
    expect([origin.asked.length, store.manifests.has(ONE.digest)]).toEqual([0, true]);
  });

  test('of which a peer gives wrong bytes comes from the upstream', async () => {
    const { origin, peers, get, metric } = makeHarness();
    origin.give(ONE);
    peers.manifests.set(ONE.digest, { mediaType: ONE.mediaType, bytes: TWO.bytes });
    expect((await get(BY_DIGEST))?.bytes).toBe(ONE.bytes);
    expect(await metric('dockyard_manifests_refused_total')).toBe(1);
  });

  test('does not wait for silent peers', async () => {
    const { origin, peers, get } = makeHarness();
    origin.give(ONE);
    peers.gate = new Promise(() => undefined);
    expect((await get(BY_DIGEST))?.digest).toBe(ONE.digest);
  });

  test('comes from a slow peer when the upstream is down', async () => {
    const { origin, peers, get } = makeHarness();
    origin.trouble = 'ERR_ORIGIN_UNAVAILABLE';
    peers.manifests.set(ONE.digest, ONE);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    peers.gate = promise;
    const getting = get(BY_DIGEST);
    await expect.poll(() => origin.asked).toEqual(['GET digest']);
    resolve(undefined);
    expect((await getting)?.digest).toBe(ONE.digest);
  });

  test('that nobody has is absent, and an upstream that is down is an error', async () => {
    const { origin, get } = makeHarness();
    expect(await get(BY_DIGEST)).toBeUndefined();
    origin.trouble = 'ERR_ORIGIN_UNAVAILABLE';
    await expect(get(BY_DIGEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
  });
});

describe('the size of a blob', () => {
  test('is known from the manifests that passed, the stored ones included', async () => {
    const { store, sizes, get } = makeHarness();
    expect(sizes.sizeHint(ONE.layer)).toBeUndefined();
    store.manifests.set(ONE.digest, ONE);
    await get({ kind: 'digest', digest: ONE.digest });
    expect([sizes.sizeHint(ONE.layer), sizes.sizeHint(digestOf(Buffer.from('{}')))]).toEqual([1001, 2]);
  });

  test('is forgotten beyond the limit, the oldest first', () => {
    const hints = new BlobSizeHints({ maxHints: 2 });
    hints.learn(ONE);
    hints.learn(TWO);
    expect([hints.sizeHint(ONE.layer), hints.sizeHint(TWO.layer)]).toEqual([undefined, 1002]);
  });

  test('is not learned from what is no manifest', () => {
    const hints = new BlobSizeHints();
    hints.learn({ digest: ONE.digest, mediaType: 'application/vnd.unknown', bytes: Buffer.from('nonsense') });
    expect(hints.sizeHint(ONE.layer)).toBeUndefined();
  });
});

test('a page of a list names the next one by its query alone', async () => {
  const page = { status: 200, contentType: 'application/json', headers: { warning: 'w' }, bytes: Buffer.from('{}') };
  let nextSearch: string | undefined = 'n=1&last=a';
  const lists = new OriginListService({ origin: { passthrough: () => Promise.resolve({ ...page, nextSearch }) } });
  const context = { repository: REPOSITORY, signal: new AbortController().signal };
  expect((await lists.tags('n=1', context))?.headers).toEqual({ warning: 'w', link: '<?n=1&last=a>; rel="next"' });
  nextSearch = undefined;
  expect((await lists.referrers(ONE.digest, '', context))?.headers).toEqual({ warning: 'w' });
});
