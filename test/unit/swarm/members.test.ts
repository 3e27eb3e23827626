import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { differingBuckets } from '../../../src/swarm/members-fingerprint.ts';
import { compareUpdates, type MemberState, type MemberUpdate } from '../../../src/swarm/members-update.ts';
import { MEMBER_TABLE_DEFAULTS, MemberTable } from '../../../src/swarm/members.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { fakeRecord } from './members-fixtures.ts';

const NAMES = ['a', 'b', 'c', 'd'];
const statement = fc
  .record({
    name: fc.constantFrom(...NAMES),
    incarnation: fc.integer({ min: 1, max: 4 }),
    state: fc.constantFrom<MemberState>('alive', 'suspect', 'dead', 'left'),
    port: fc.integer({ min: 1, max: 2 }),
  })
  .map(({ name, incarnation, state, port }): MemberUpdate => ({
    signed: fakeRecord(name, incarnation, state === 'left', port),
    state,
  }));

/** A table that knows all members of the universe at their first incarnation. */
function knowingTable(): MemberTable {
  const table = new MemberTable(fakeRecord('self', 1), seededRandom(1));
  for (const name of NAMES) table.apply({ signed: fakeRecord(name, 0), state: 'alive' }, 0);
  return table;
}

function beliefs(table: MemberTable): string[] {
  return [...table.entries()].map((entry) => `${entry.signed.body.toString()} ${entry.state}`).sort();
}

describe('the table of members', () => {
  test('is the same whatever the order of statements, and however often they are repeated', () => {
    fc.assert(
      fc.property(fc.array(statement, { maxLength: 30 }), fc.integer(), (statements, seed) => {
        const [one, other] = [knowingTable(), knowingTable()];
        const random = seededRandom(seed);
        const mixed = [...statements, ...statements].sort(() => random() - 0.5);
        for (const each of statements) one.apply(each, 0);
        for (const each of mixed) other.apply(each, 0);
        for (const each of statements) other.apply(each, 0);
        expect(beliefs(other)).toEqual(beliefs(one));
        expect(other.fingerprints()).toEqual(one.fingerprints());
      }),
    );
  });

  test('is the same whichever tables are merged first', () => {
    const batch = fc.array(statement, { maxLength: 12 });
    fc.assert(
      fc.property(batch, batch, batch, (a, b, c) => {
        const merge = (...tables: MemberTable[]): MemberTable => {
          const merged = knowingTable();
          for (const table of tables)
            for (const entry of table.entries()) if (entry.signed.member.peerId !== 'self') merged.apply(entry, 0);
          return merged;
        };
        const [ta, tb, tc] = [a, b, c].map((statements) => {
          const table = knowingTable();
          for (const each of statements) table.apply(each, 0);
          return table;
        }) as [MemberTable, MemberTable, MemberTable];
        expect(beliefs(merge(merge(ta, tb), tc))).toEqual(beliefs(merge(ta, merge(tb, tc))));
        expect(beliefs(merge(ta, tb))).toEqual(beliefs(merge(tb, ta)));
        expect(beliefs(merge(ta, ta))).toEqual(beliefs(ta));
      }),
    );
  });

  test('orders statements totally', () => {
    fc.assert(
      fc.property(statement, statement, statement, (a, b, c) => {
        expect(Math.sign(compareUpdates(a, b))).toBe(0 - Math.sign(compareUpdates(b, a)));
        if (compareUpdates(a, b) <= 0 && compareUpdates(b, c) <= 0) expect(compareUpdates(a, c)).toBeLessThanOrEqual(0);
      }),
    );
  });

  test('holds counts and fingerprints that fit its rows, after any statements', () => {
    fc.assert(
      fc.property(fc.array(statement, { maxLength: 30 }), (statements) => {
        const table = knowingTable();
        for (const each of statements) table.apply(each, 0);
        const fresh = new MemberTable(fakeRecord('self', 1), seededRandom(2));
        const states: MemberState[] = [];
        for (const entry of table.entries()) {
          states.push(entry.state);
          fresh.apply(entry, 0);
        }
        const counts = table.counts();
        for (const state of ['alive', 'suspect', 'dead', 'left'] as const) {
          expect(counts[state]).toBe(states.filter((each) => each === state).length);
        }
        expect(fresh.fingerprints()).toEqual(table.fingerprints());
      }),
    );
  });

  test('asks for a refutation of ill news of this node, and believes its own word', () => {
    const table = knowingTable();
    expect(table.apply({ signed: fakeRecord('self', 1), state: 'suspect' }, 0)).toBe('refute');
    expect(table.apply({ signed: fakeRecord('self', 9), state: 'alive' }, 0)).toBe('refute');
    expect(table.apply({ signed: fakeRecord('self', 0), state: 'dead' }, 0)).toBe('unchanged');
    expect(table.get('self')?.state).toBe('alive');
    table.setSelf(fakeRecord('self', 10), 0);
    expect(table.apply({ signed: fakeRecord('self', 9), state: 'dead' }, 0)).toBe('unchanged');
  });

  test('takes a suspect for dead when its time is over, unless it refutes', () => {
    const table = knowingTable();
    const { suspicionMs } = MEMBER_TABLE_DEFAULTS;
    expect(table.suspect('a', 1_000)).toBe(true);
    expect(table.suspect('a', 1_500)).toBe(false);
    table.suspect('b', 1_000);
    table.expire(1_000 + suspicionMs - 1);
    expect(table.get('a')?.state).toBe('suspect');
    table.apply({ signed: fakeRecord('b', 1), state: 'alive' }, 2_000);
    expect(table.expire(1_000 + suspicionMs)).toBe(true);
    expect(table.get('a')?.state).toBe('dead');
    expect(table.get('b')?.state).toBe('alive');
  });

  test('gives suspects as much longer as this node stood still', () => {
    const table = knowingTable();
    table.suspect('a', 0);
    table.postpone(30_000);
    table.expire(30_000 + MEMBER_TABLE_DEFAULTS.suspicionMs - 1);
    expect(table.get('a')?.state).toBe('suspect');
  });

  test('forgets the gone after a while, and learns nothing of the gone that it did not know', () => {
    const table = knowingTable();
    table.apply({ signed: fakeRecord('a', 1, true), state: 'left' }, 0);
    table.expire(MEMBER_TABLE_DEFAULTS.retentionMs - 1);
    expect(table.get('a')?.state).toBe('left');
    table.expire(MEMBER_TABLE_DEFAULTS.retentionMs);
    expect(table.get('a')).toBeUndefined();
    expect(table.apply({ signed: fakeRecord('a', 1, true), state: 'left' }, 0)).toBe('unchanged');
    expect(table.apply({ signed: fakeRecord('a', 0), state: 'dead' }, 0)).toBe('unchanged');
    expect(table.get('a')).toBeUndefined();
  });

  test('takes in no more members than its bound', () => {
    const table = new MemberTable(fakeRecord('self', 1), seededRandom(1), { ...MEMBER_TABLE_DEFAULTS, maxMembers: 3 });
    for (const name of NAMES) table.apply({ signed: fakeRecord(name, 1), state: 'alive' }, 0);
    expect(table.liveCount).toBe(3);
    expect(table.get('d')).toBeUndefined();
  });

  test('has every live member probed once in a round, and never this node or the gone', () => {
    const table = knowingTable();
    table.apply({ signed: fakeRecord('c', 0), state: 'dead' }, 0);
    for (let round = 0; round < 4; round += 1) {
      const probed = [1, 2, 3].map(() => table.nextToProbe()?.signed.member.peerId);
      expect(probed.map(String).toSorted((one, other) => one.localeCompare(other))).toEqual(['a', 'b', 'd']);
    }
    expect(new MemberTable(fakeRecord('self', 1), seededRandom(1)).nextToProbe()).toBeUndefined();
  });

  test('tells the newest news first, each a bounded number of times', () => {
    const table = knowingTable();
    for (let message = 0; message < 3; message += 1) table.takeRumours(10);
    table.apply({ signed: fakeRecord('b', 5), state: 'alive' }, 0);
    expect(table.takeRumours(1)[0]?.signed.member.peerId).toBe('b');
    let messages = 0;
    for (; table.hasRumours(); messages += 1) table.takeRumours(10);
    expect(messages).toBeGreaterThan(3);
    expect(messages).toBeLessThan(20);
  });

  test('bounds the news that waits to be told', () => {
    const table = new MemberTable(fakeRecord('self', 1), seededRandom(1), { ...MEMBER_TABLE_DEFAULTS, maxRumours: 5 });
    for (let number = 0; number < 50; number += 1)
      table.apply({ signed: fakeRecord(`m${number}`, 1), state: 'alive' }, 0);
    expect(table.takeRumours(100)).toHaveLength(5);
  });

  test('differs from another in the bucket of a member that only one of them knows', () => {
    const [one, other] = [knowingTable(), knowingTable()];
    expect(differingBuckets(one.fingerprints(), other.fingerprints()).size).toBe(0);
    one.apply({ signed: fakeRecord('new', 1), state: 'alive' }, 0);
    const buckets = differingBuckets(one.fingerprints(), other.fingerprints());
    expect(buckets.size).toBe(1);
    expect(one.inBuckets(buckets).map((entry) => entry.signed.member.peerId)).toContain('new');
  });
});
