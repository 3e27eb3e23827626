import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packAddress } from '../../../tracker/address.ts';
import { PeerList } from '../../../tracker/peer-list.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const PEER_ID = Buffer.alloc(20, 7);
const NOBODY = { address: undefined, isComplete: false };

function v4(port: number): Buffer {
  return packAddress('10.1.2.3', port) ?? Buffer.alloc(0);
}

function portsOf(peers: readonly { address: Buffer }[]): number[] {
  return peers.map(({ address }) => address.readUInt16BE(address.length - 2)).toSorted((one, other) => one - other);
}

describe('a list of peers', () => {
  const action = fc.oneof(
    fc.record({
      put: fc.integer({ min: 1, max: 60 }),
      complete: fc.boolean(),
      atSeconds: fc.integer({ min: 0, max: 100 }),
    }),
    fc.record({ remove: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ expireBefore: fc.integer({ min: 0, max: 100 }) }),
  );

  test.each([6, 18] as const)(
    'of addresses with %i bytes holds what a plain map would, whatever happens to it',
    (size) => {
      const at = (port: number): Buffer =>
        packAddress(size === 6 ? '10.0.0.1' : '2001:db8::1', port) ?? Buffer.alloc(0);
      fc.assert(
        fc.property(fc.array(action, { maxLength: 150 }), (actions) => {
          const list = new PeerList(size);
          const model = new Map<number, { complete: boolean; atSeconds: number }>();
          for (const step of actions) {
            if ('put' in step) {
              list.put(at(step.put), PEER_ID, step.complete, step.atSeconds);
              model.set(step.put, { complete: step.complete, atSeconds: step.atSeconds });
            } else if ('remove' in step) {
              expect(list.remove(at(step.remove))).toBe(model.delete(step.remove));
            } else {
              list.expire(step.expireBefore);
              for (const [port, { atSeconds }] of model) if (atSeconds < step.expireBefore) model.delete(port);
            }
          }
          const complete = [...model].filter(([, peer]) => peer.complete).map(([port]) => port);
          expect([list.size, list.complete]).toEqual([model.size, complete.length]);
          expect(portsOf(list.choose(1_000, NOBODY, () => 0.5))).toEqual(
            [...model.keys()].toSorted((one, other) => one - other),
          );
          const seeder = { address: undefined, isComplete: true };
          expect(list.choose(1_000, seeder, () => 0.5)).toHaveLength(model.size - complete.length);
          const again = PeerList.fromRecords(size, Buffer.from(list.records()), list.complete);
          expect([again.size, again.complete]).toEqual([list.size, list.complete]);
        }),
      );
    },
  );

  test('answers with different peers, never the one that asks, as many as are wanted', () => {
    const list = new PeerList(6);
    for (let port = 1; port <= 500; port += 1) list.put(v4(port), PEER_ID, port <= 200, 1);
    const random = seededRandom(3);
    const seen = new Set<number>();
    for (let round = 0; round < 200; round += 1) {
      const asker = 1 + Math.floor(random() * 500);
      const ports = portsOf(list.choose(50, { address: v4(asker), isComplete: false }, random));
      expect(new Set(ports).size).toBe(50);
      expect(ports).not.toContain(asker);
      for (const port of ports) seen.add(port);
      expect(ports.filter((port) => port <= 200).length).toBe(25);
    }
    expect(seen.size).toBeGreaterThan(490);
  });

  test('fills up with the others where one kind is few', () => {
    const list = new PeerList(6);
    for (let port = 1; port <= 100; port += 1) list.put(v4(port), PEER_ID, port > 3, 1);
    const ports = portsOf(list.choose(50, NOBODY, seededRandom(1)));
    expect(ports).toHaveLength(50);
    expect(ports.slice(0, 3)).toEqual([1, 2, 3]);
    expect(list.choose(0, NOBODY, () => 0)).toEqual([]);
  });

  test('says once that a peer has completed', () => {
    const list = new PeerList(6);
    expect(list.put(v4(1), PEER_ID, false, 1)).toBe('added');
    expect(list.put(v4(1), PEER_ID, true, 2)).toBe('completed');
    expect(list.put(v4(1), PEER_ID, true, 3)).toBe('refreshed');
    expect(list.choose(1, NOBODY, () => 0)[0]?.peerId).toEqual(PEER_ID);
  });
});
