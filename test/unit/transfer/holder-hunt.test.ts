import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import type { Link } from '../../../src/swarm/link/link.ts';
import { AVOID_MS, HolderHunt } from '../../../src/transfer/holder-hunt.ts';
import type { FoundHolder, HolderSearch } from '../../../src/transfer/holder-search.ts';
import type { Peers } from '../../../src/transfer/peers.ts';

const DIGEST = digestOf(Buffer.from('x'));
const ADDRESSES = [{ host: '127.0.0.1', port: 1 }];

/** A search in which `home` answers, and names itself and one other. */
function makeHunt() {
  const clock = { atMs: 0 };
  const met: string[] = [];
  const askHomes = vi.fn<HolderSearch['askHomes']>(async (_question, { except, onHolder }) => {
    const named = ['home', 'other'].filter((peerId) => !except.has(peerId));
    for (const peerId of named) onHolder({ peerId, addresses: ADDRESSES });
    return await Promise.resolve({
      role: 'follower',
      home: except.has('home') ? 'second' : 'home',
      sizeBytes: undefined,
      inline: undefined,
      foundCount: named.length,
      isComing: false,
      isCrowded: false,
    });
  });
  const link = async ({ peerId }: FoundHolder): Promise<Link> =>
    await Promise.resolve({ peerId: peerId ?? '' } as Partial<Link> as Link);
  const hunt = new HolderHunt({
    peers: { link } as Partial<Peers> as Peers,
    search: { askHomes } as Partial<HolderSearch> as HolderSearch,
    nowMs: () => clock.atMs,
    log: pino({ level: 'silent' }),
    signal: new AbortController().signal,
    question: () => ({
      digest: DIGEST,
      repository: { upstream: 'test.example', name: parseRepositoryName('team/app') },
      sizeBytes: undefined,
      isReading: false,
    }),
    wants: () => true,
    onLink: ({ peerId }) => void met.push(peerId),
    onSize: () => undefined,
    onChange: () => undefined,
  });
  const search = async (): Promise<string[]> => {
    met.length = 0;
    await hunt.askHomes();
    await vi.waitFor(() => expect(hunt.diallingCount).toBe(0));
    return [...met];
  };
  return { hunt, clock, search };
}

test('a home that has enough peers stays the home, from which all comes through others, and is not dialled for a while', async () => {
  const { hunt, clock, search } = makeHunt();
  expect(await search()).toEqual(['home', 'other']);
  hunt.onLeft('home', 'full');
  expect([hunt.home, hunt.isHomeFar, hunt.role]).toEqual(['home', true, 'follower']);
  expect(await search()).toEqual(['other']);
  expect(hunt.home).toBe('home');
  clock.atMs += AVOID_MS + 1;
  expect(await search()).toEqual(['home', 'other']);
});

test('a home that failed has a successor, and is not asked for a while', async () => {
  const { hunt, search } = makeHunt();
  await search();
  hunt.onLeft('home', 'failed');
  expect([hunt.home, hunt.role, hunt.searchedAtMs]).toEqual([undefined, 'follower', undefined]);
  expect(await search()).toEqual(['other']);
  expect(hunt.home).toBe('second');
  // When that one cannot get the blob either, this node reads the origin itself.
  hunt.onLeft('second', 'failed');
  expect(hunt.role).toBe('reader');
});
