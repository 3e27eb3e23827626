import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf, digestBytes } from '../../../src/oci/digest.ts';
import { rankHomes } from '../../../src/swarm/home.ts';
import type { Member } from '../../../src/swarm/member.ts';

const member = (name: string): Member => ({ peerId: `12D3KooW${name}`, dataAddresses: [], topology: '' });
const membersOf = (count: number, seed = 0): Member[] =>
  Array.from({ length: count }, (_, index) => member(`${seed}-${index}`));
const keyOf = (number: number): Uint8Array => createHash('sha256').update(String(number)).digest();
const names = (members: readonly Member[]): string[] => members.map((entry) => entry.peerId);

describe('homes', () => {
  test('are the same members, in the same order, whatever the order of the list', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer(),
        (key, count, seed) => {
          const members = membersOf(count, seed);
          expect(names(rankHomes(key, members.toReversed(), 5))).toEqual(names(rankHomes(key, members, 5)));
        },
      ),
    );
  });

  test('are as many as asked, or all, without repetition', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 40 }), (size, count) => {
        const ranked = names(rankHomes(keyOf(1), membersOf(size), count));
        expect(ranked).toHaveLength(Math.min(size, count));
        expect(new Set(ranked).size).toBe(ranked.length);
      }),
    );
  });

  test('take the first of a longer ranking when fewer are asked', () => {
    const members = membersOf(100);
    const all = names(rankHomes(keyOf(7), members, 100));
    for (let count = 0; count < 100; count += 9)
      expect(names(rankHomes(keyOf(7), members, count))).toEqual(all.slice(0, count));
  });

  test('share the keys evenly: each of 20 members is home to a twentieth', () => {
    const members = membersOf(20);
    const counts = new Map<string, number>();
    for (let number = 0; number < 40_000; number += 1) {
      const home = rankHomes(keyOf(number), members, 1)[0]?.peerId ?? '';
      counts.set(home, (counts.get(home) ?? 0) + 1);
    }
    // 2,000 expected with a standard deviation of 44: five of them either way.
    expect(Math.min(...counts.values())).toBeGreaterThan(1_780);
    expect(Math.max(...counts.values())).toBeLessThan(2_220);
  });

  test('stay when another member goes, and the second closest takes over when the home goes', () => {
    const members = membersOf(30);
    const gone = members[11];
    const rest = members.filter((entry) => entry !== gone);
    for (let number = 0; number < 500; number += 1) {
      const [home, second] = rankHomes(keyOf(number), members, 2);
      const after = rankHomes(keyOf(number), rest, 1)[0];
      expect(after).toBe(home === gone ? second : home);
    }
  });

  test('of a gone member spread over all the rest', () => {
    const members = membersOf(10);
    const heirs = new Set<string | undefined>();
    for (let number = 0; number < 2_000; number += 1) {
      const [home, second] = rankHomes(keyOf(number), members, 2);
      if (home === members[0]) heirs.add(second?.peerId);
    }
    expect(heirs.size).toBe(9);
  });

  test('are the same for a digest and for its raw bytes', () => {
    const digest = digestOf(Buffer.from('a layer'));
    const members = membersOf(50);
    expect(rankHomes(digest, members, 3)).toEqual(rankHomes(digestBytes(digest), members, 3));
  });

  test('among 10,000 members are found within a few milliseconds', () => {
    const members = membersOf(10_000);
    rankHomes(keyOf(0), members, 4);
    const startMs = performance.now();
    for (let number = 0; number < 100; number += 1) rankHomes(keyOf(number), members, 4);
    expect((performance.now() - startMs) / 100).toBeLessThan(5);
  });
});
