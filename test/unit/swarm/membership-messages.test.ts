import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDockyardError } from '../../../src/oci/error.ts';
import { generateIdentity } from '../../../src/swarm/identity.ts';
import { FINGERPRINT_BYTES } from '../../../src/swarm/members-fingerprint.ts';
import { decodeRecord, isAuthentic, MAX_RECORD_BYTES } from '../../../src/swarm/members-record.ts';
import {
  decodeMessage,
  encodeMessage,
  MAX_MESSAGE_BYTES,
  MAX_PAGE_UPDATES,
  type MembersMessage,
} from '../../../src/swarm/membership-messages.ts';
import { MembershipState } from '../../../src/swarm/membership-state.ts';
import { MEMBER_TABLE_DEFAULTS } from '../../../src/swarm/members.ts';
import { pino } from 'pino';
import { seededRandom } from '../../support/seeded-random.ts';
import { captureLog } from '../../integration/swarm-fixtures.ts';
import { realRecord } from './members-fixtures.ts';

const identity = generateIdentity();
const address = fc.record({
  host: fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()),
  port: fc.integer({ min: 1, max: 65_535 }),
});
const record = fc
  .record({
    incarnation: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    left: fc.boolean(),
    swarmAddresses: fc.array(address, { maxLength: 8 }),
    dataAddresses: fc.array(address, { maxLength: 8 }),
    topology: fc.string({ unit: 'grapheme', maxLength: 30 }),
  })
  .map((fields) => realRecord(identity, fields));

/** What can be compared: records hold their bytes. */
function gist(message: MembersMessage): unknown {
  const updates = message.updates.map(({ signed, state }) => ({ ...signed.record, state, peer: signed.member.peerId }));
  return { ...message, updates, ...(message.kind === 'sync' ? { fingerprints: [...message.fingerprints] } : {}) };
}

describe('a record', () => {
  test('is read back as it was written, and is authentic', () => {
    fc.assert(
      fc.property(record, (signed) => {
        const read = decodeRecord(signed.body, signed.signature);
        expect(read.record).toEqual(signed.record);
        expect(read.member).toEqual(signed.member);
        expect(isAuthentic(read)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('with one bit turned is refused or not authentic', () => {
    fc.assert(
      fc.property(record, fc.nat(), fc.integer({ min: 0, max: 7 }), (signed, place, bit) => {
        const body = Buffer.from(signed.body);
        const index = place % body.length;
        body[index] = (body[index] ?? 0) ^ (1 << bit);
        try {
          expect(isAuthentic(decodeRecord(body, signed.signature))).toBe(false);
        } catch (error) {
          expect(isDockyardError(error, 'ERR_MEMBERS_PROTOCOL')).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('is cut to its bounds when it is written', () => {
    const many = Array.from({ length: 20 }, () => ({ host: `${'a.'.repeat(120)}example`, port: 1 }));
    const signed = realRecord(identity, { swarmAddresses: many, dataAddresses: many, topology: '☃'.repeat(300) });
    expect(signed.body.length).toBeLessThanOrEqual(MAX_RECORD_BYTES);
    expect(decodeRecord(signed.body, signed.signature).record.topology).toBe('☃'.repeat(85));
  });
});

describe('a message', () => {
  const updates = fc
    .array(record, { maxLength: 3 })
    .map((all) =>
      all.map((signed) => ({ signed, state: signed.record.left ? ('left' as const) : ('alive' as const) })),
    );
  const message: fc.Arbitrary<MembersMessage> = fc.oneof(
    fc.record({ kind: fc.constant('probe' as const), updates }),
    fc.record({ kind: fc.constant('probe-for' as const), target: fc.constant(identity.peerId), updates }),
    fc.record({ kind: fc.constant('answer' as const), reached: fc.boolean(), updates }),
    fc.record({
      kind: fc.constant('page' as const),
      last: fc.boolean(),
      buckets: fc.uniqueArray(fc.integer({ min: 0, max: 255 })).map((all) => new Set(all)),
      updates,
    }),
    fc.record({
      kind: fc.constant('sync' as const),
      fingerprints: fc.uint8Array({ minLength: FINGERPRINT_BYTES, maxLength: FINGERPRINT_BYTES }),
      updates,
    }),
  );

  test('is read back as it was written', () => {
    fc.assert(
      fc.property(message, (written) => {
        expect(gist(decodeMessage(encodeMessage(written)))).toEqual(gist(written));
      }),
      { numRuns: 60 },
    );
  });

  test('of any bytes is read or refused by code', () => {
    const cut = fc.tuple(message, fc.nat(), fc.uint8Array({ maxLength: 4 })).map(([written, place, more]) => {
      const bytes = encodeMessage(written);
      return Buffer.concat([bytes.subarray(0, place % (bytes.length + 1)), more]);
    });
    fc.assert(
      fc.property(fc.oneof(cut, fc.uint8Array({ maxLength: 400 })), (bytes) => {
        try {
          decodeMessage(bytes);
        } catch (error) {
          expect(isDockyardError(error, 'ERR_MEMBERS_PROTOCOL')).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('never exceeds its bound', () => {
    const many = Array.from({ length: 20 }, () => ({ host: `${'a.'.repeat(120)}example`, port: 1 }));
    const signed = realRecord(identity, { swarmAddresses: many, dataAddresses: many, topology: 'a'.repeat(300) });
    const all = Array.from({ length: MAX_PAGE_UPDATES + 5 }, () => ({ signed, state: 'alive' as const }));
    const bytes = encodeMessage({ kind: 'sync', fingerprints: new Uint8Array(FINGERPRINT_BYTES), updates: all });
    expect(bytes.length).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
    expect(decodeMessage(bytes).updates).toHaveLength(MAX_PAGE_UPDATES);
  });
});

describe('the state of a node', () => {
  const deps = { identity, clock: { nowMs: () => 1_000 }, random: seededRandom(1), log: pino({ level: 'silent' }) };
  const open = () =>
    new MembershipState(deps, { swarmAddresses: [], dataAddresses: [], topology: '' }, MEMBER_TABLE_DEFAULTS);

  test('takes no record that its member did not sign', () => {
    const state = open();
    const other = realRecord(generateIdentity());
    const forged = { ...other, signature: identity.sign(other.body) };
    expect(() => state.take([{ signed: forged, state: 'alive' }])).toThrow(/did not sign/);
    expect(state.table.liveCount).toBe(1);
    expect(state.take([{ signed: other, state: 'alive' }])).toBe(1);
  });

  test('answers ill news of itself with a higher incarnation, and so outweighs it', () => {
    const state = open();
    const before = state.selfUpdate();
    state.take([{ signed: before.signed, state: 'dead' }]);
    expect(state.selfUpdate().signed.record.incarnation).toBeGreaterThan(before.signed.record.incarnation);
    expect(isAuthentic(state.selfUpdate().signed)).toBe(true);
    expect(state.table.get(identity.peerId)?.state).toBe('alive');
  });

  test('refutes what comes back over the wire, even where its clock tells fractions of a millisecond', () => {
    const fractions = { ...deps, clock: { nowMs: () => 1_000.75 } };
    const state = new MembershipState(
      fractions,
      { swarmAddresses: [], dataAddresses: [], topology: '' },
      MEMBER_TABLE_DEFAULTS,
    );
    const before = state.selfUpdate().signed;
    const { updates } = decodeMessage(
      encodeMessage({ kind: 'probe', updates: [{ signed: before, state: 'suspect' }] }),
    );
    state.take(updates);
    expect(state.selfUpdate().signed.record.incarnation).toBeGreaterThan(before.record.incarnation);
  });

  test('tells of another with its identity, and answers it less and less often', () => {
    const { log, lines } = captureLog();
    let nowMs = 1_000;
    const at = (port: number) => ({ swarmAddresses: [{ host: '192.0.2.1', port }], dataAddresses: [], topology: '' });
    const make = (port: number) =>
      new MembershipState({ ...deps, log, clock: { nowMs: () => nowMs } }, at(port), MEMBER_TABLE_DEFAULTS);
    const [one, twin] = [make(1), make(2)];
    for (; nowMs < 61_000; nowMs += 200) {
      one.take([twin.selfUpdate()]);
      twin.take([one.selfUpdate()]);
    }
    const told = lines
      .filter((line) => line['level'] === 50)
      .map((line) => line['err'] as { code: string; message: string });
    expect(told.map(({ code }) => code)).toEqual(['ERR_SWARM_IDENTITY_TWICE', 'ERR_SWARM_IDENTITY_TWICE']);
    expect(told.map(({ message }) => message).sort()[0]).toBe('another node, at 192.0.2.1:1, has this identity');
    const answers = one.selfUpdate().signed.record.incarnation - 1_000;
    expect(answers).toBeLessThan(40);
    expect(answers).toBeGreaterThan(4);
  });

  test('takes records from before its restart for its own, where the clock was set back', () => {
    const { log, lines } = captureLog();
    const state = new MembershipState(
      { ...deps, log },
      { swarmAddresses: [], dataAddresses: [], topology: '' },
      MEMBER_TABLE_DEFAULTS,
    );
    for (const incarnation of [5_000, 6_000]) {
      state.take([{ signed: realRecord(identity, { incarnation }), state: 'alive' }]);
      expect(state.selfUpdate().signed.record.incarnation).toBe(incarnation + 1);
    }
    expect(lines.filter((line) => Number(line['level']) > 20)).toEqual([]);
  });

  test('lets nobody say that it has left', () => {
    const state = open();
    const message = encodeMessage({ kind: 'probe', updates: [{ signed: state.table.self, state: 'left' }] });
    expect(() => decodeMessage(message)).toThrow(/contradicts/);
  });
});
