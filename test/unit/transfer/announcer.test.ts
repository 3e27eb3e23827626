import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { rankHomes } from '../../../src/swarm/home.ts';
import type { Member, PeerId } from '../../../src/swarm/member.ts';
import { Announcer } from '../../../src/transfer/announcer.ts';
import type { Peers } from '../../../src/transfer/peers.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function member(peerId: PeerId): Member {
  return { peerId, dataAddresses: [], topology: '' };
}

/** An announcer of node `self` among others; what each was told is written down. */
function announcerAmong(peerIds: readonly PeerId[]) {
  const self = member('self');
  let alive = [self, ...peerIds.map(member)];
  const told: { to: PeerId; digests: readonly Digest[] }[] = [];
  const withdrawn: typeof told = [];
  const down = new Set<PeerId>();
  const held = new Set<Digest>();
  const keys: string[] = [];
  const ask = async (to: Member, method: string, value: unknown) => {
    if (down.has(to.peerId)) throw new Error('down');
    (method === 'withdraw' ? withdrawn : told).push({
      to: to.peerId,
      digests: (value as { digests: Digest[] }).digests,
    });
    return await Promise.resolve({ value: {}, bytes: Buffer.alloc(0) });
  };
  const announcer = new Announcer({
    members: {
      self,
      alive: () => alive,
      get: (peerId) => alive.find((one) => one.peerId === peerId),
      reportUnreachable: () => undefined,
    },
    peers: { ask } as Partial<Peers> as Peers,
    discoveries: [
      {
        name: 'dht',
        announce: async (key) => {
          keys.push(Buffer.from(key).toString('hex'));
          await Promise.reject(new Error('no route'));
        },
        withdraw: async () => await Promise.resolve(),
        find: async function* () {
          yield* await Promise.resolve([]);
        },
      },
    ],
    isHeld: (digest) => held.has(digest),
    log: pino({ level: 'silent' }),
  });
  const hold = (text: string): Digest => {
    const digest = digestOf(Buffer.from(text));
    held.add(digest);
    announcer.hold(digest);
    return digest;
  };
  const become = (ids: readonly PeerId[]): void => {
    alive = [self, ...ids.map(member)];
    announcer.onMembersChanged();
  };
  const homes = (digest: Digest): PeerId[] => rankHomes(digest, alive, 2).map((home) => home.peerId);
  return { announcer, told, withdrawn, down, held, keys, hold, become, homes };
}

const wait = async (ms: number): Promise<void> => void (await vi.advanceTimersByTimeAsync(ms));

test('the two homes of a blob are told, once, and the DHT', async () => {
  const { told, hold, homes, announcer, keys } = announcerAmong(['a', 'b', 'c', 'd']);
  const digest = hold('one');
  hold('one');
  await wait(100);
  expect(told.map(({ to }) => to).toSorted()).toEqual(
    homes(digest)
      .filter((home) => home !== 'self')
      .toSorted(),
  );
  expect(keys).toEqual([digest.slice('sha256:'.length)]);
  announcer.close();
});

test('many blobs go to a home in batches, not one by one', async () => {
  const { told, hold, announcer } = announcerAmong(['a']);
  for (let index = 0; index < 2500; index += 1) hold(`blob ${index}`);
  await wait(200);
  expect(told.map(({ digests }) => digests.length)).toEqual([1000, 1000, 500]);
  announcer.close();
});

test('when homes go their successors are told, and nobody who knows is told again', async () => {
  const { told, hold, homes, become, announcer } = announcerAmong(['a', 'b', 'c', 'd', 'e']);
  const digest = hold('one');
  await wait(100);
  const before = homes(digest);
  const gone = before.find((home) => home !== 'self') ?? '';
  told.length = 0;
  become(['a', 'b', 'c', 'd', 'e'].filter((peerId) => peerId !== gone));
  await wait(1000);
  const fresh = homes(digest).filter((home) => !before.includes(home) && home !== 'self');
  expect(told.map(({ to }) => to)).toEqual(fresh);
  announcer.close();
});

test('a home that could not be told is tried again, without end and without haste', async () => {
  const { told, down, hold, announcer } = announcerAmong(['a']);
  down.add('a');
  hold('one');
  await wait(15_000);
  expect(told).toEqual([]);
  down.clear();
  await wait(11_000);
  expect(told.map(({ to }) => to)).toEqual(['a']);
  await wait(60_000);
  expect(told.length).toBe(1);
  announcer.close();
});

test('what is not held any more is forgotten and not told to newcomers', async () => {
  const { told, held, hold, become, announcer } = announcerAmong([]);
  const digest = hold('one');
  await wait(100);
  held.delete(digest);
  become(['a', 'b']);
  await wait(1000);
  expect(told).toEqual([]);
  hold('one');
  await wait(100);
  expect(told.length).toBeGreaterThan(0);
  announcer.close();
});

test('what is held no longer is withdrawn from its homes, and announced when it is held again', async () => {
  const { told, withdrawn, hold, homes, announcer } = announcerAmong(['a', 'b', 'c', 'd']);
  const digest = hold('one');
  await wait(100);
  announcer.drop(digest);
  announcer.drop(digest);
  await wait(100);
  const others = homes(digest).filter((home) => home !== 'self');
  expect(withdrawn.map(({ to, digests }) => [to, digests])).toEqual(others.map((home) => [home, [digest]]));
  told.length = 0;
  hold('one');
  await wait(100);
  expect(told.map(({ to }) => to)).toEqual(others);
  announcer.close();
});

test('of what is evicted and held again within a moment only the last is said', async () => {
  const { told, withdrawn, hold, announcer } = announcerAmong(['a', 'b']);
  const digest = hold('one');
  await wait(100);
  told.length = 0;
  announcer.drop(digest);
  hold('one');
  const other = hold('two');
  announcer.drop(other);
  await wait(100);
  expect(told.every(({ digests }) => digests.length === 0 || digests.includes(digest))).toBe(true);
  expect(told.flatMap(({ digests }) => digests)).not.toContain(other);
  expect(withdrawn.flatMap(({ digests }) => digests)).not.toContain(digest);
  announcer.close();
});

test('closed, it tells nothing and leaves no timer', async () => {
  const { told, hold, become, announcer } = announcerAmong(['a', 'b']);
  hold('one');
  become(['a']);
  announcer.close();
  hold('two');
  become(['a', 'b']);
  await wait(60_000);
  expect(told).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
