import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { generateSwarmKey } from '../../../src/swarm/swarm-key.ts';
import { TrackerProof } from '../../../src/swarm/tracker-proof.ts';
import { Admission } from '../../../tracker/admission.ts';
import { parseInfoHash, Registrations } from '../../../tracker/registrations.ts';

const HOUR_MS = 3_600_000;
const NO_RATES = { perAddress: Infinity, total: Infinity };

function hashOf(number: number): string {
  return number.toString(16).padStart(40, '0');
}

function setUp(options: { rates?: { perAddress: number; total: number }; isClosed?: boolean; max?: number } = {}) {
  const time = { nowMs: 1_700_000_000_000 };
  const nowMs = (): number => time.nowMs;
  const proof = new TrackerProof(generateSwarmKey(randomBytes));
  const registrations = new Registrations(nowMs, { ttlMs: HOUR_MS, max: options.max ?? 10 });
  const config = { isClosed: options.isClosed ?? true, rates: options.rates ?? NO_RATES };
  const admission = new Admission({ nowMs, registrations, proof }, config);
  const proveNow = (infoHash: string): string => proof.prove(Buffer.from(infoHash, 'hex'), time.nowMs);
  return { time, proof, registrations, admission, proveNow };
}

describe('a closed tracker', () => {
  test('serves what the operator registered, and nothing else', () => {
    const { admission, registrations } = setUp();
    expect(() => admission.admit({ infoHash: hashOf(1) })).toThrow(/not registered/);
    registrations.add(hashOf(1));
    admission.admit({ infoHash: hashOf(1) });
    registrations.remove(hashOf(1));
    expect(() => admission.admit({ infoHash: hashOf(1) })).toThrow(/not registered/);
    registrations.replaceFiled(new Set([hashOf(2)]));
    admission.admit({ infoHash: hashOf(2) });
    expect(admission.isServed(hashOf(1))).toBe(false);
  });

  test('serves all who announce what a holder of the swarm key vouched for, for a while', () => {
    const { admission, time, proveNow } = setUp();
    admission.admit({ infoHash: hashOf(1), proof: proveNow(hashOf(1)) });
    admission.admit({ infoHash: hashOf(1) });
    time.nowMs += HOUR_MS - 1;
    admission.admit({ infoHash: hashOf(1) });
    time.nowMs += 1;
    expect(() => admission.admit({ infoHash: hashOf(1) })).toThrow(/not registered/);
  });

  test.each([
    ['another torrent', (with_: ReturnType<typeof setUp>) => with_.proveNow(hashOf(2))],
    ['another key', () => new TrackerProof(generateSwarmKey(randomBytes)).prove(Buffer.alloc(20), 1_700_000_000_000)],
    ['long ago', ({ proof, time }: ReturnType<typeof setUp>) => proof.prove(Buffer.alloc(20, 0), time.nowMs - 601_000)],
    [
      'the future',
      ({ proof, time }: ReturnType<typeof setUp>) => proof.prove(Buffer.alloc(20, 0), time.nowMs + 602_000),
    ],
    ['nothing', () => ''],
    ['rubbish', () => '1700000000-zz'],
  ])('refuses a proof of %s', (_what, make) => {
    const parts = setUp();
    expect(() => parts.admission.admit({ infoHash: hashOf(0), proof: make(parts) })).toThrow(/not registered.*proof/);
    expect(parts.registrations.counts()).toEqual({ operator: 0, member: 0 });
  });

  test('takes a proof from a clock that is a few minutes wrong', () => {
    const { admission, proof, time } = setUp();
    admission.admit({ infoHash: hashOf(0), proof: proof.prove(Buffer.alloc(20), time.nowMs - 500_000) });
    expect(admission.isServed(hashOf(0))).toBe(true);
  });

  test('forgets what was vouched for longest ago when there is no room, and nothing that the operator registered', () => {
    const { admission, registrations, proveNow } = setUp({ max: 3 });
    expect(registrations.add(hashOf(9))).toBe(true);
    for (const number of [1, 2, 1, 3, 4])
      admission.admit({ infoHash: hashOf(number), proof: proveNow(hashOf(number)) });
    expect([1, 2, 3, 4, 9].map((number) => admission.isServed(hashOf(number)))).toEqual([
      true,
      false,
      true,
      true,
      true,
    ]);
    expect([10, 11, 12].map((number) => registrations.add(hashOf(number)))).toEqual([true, true, false]);
  });
});

test('an open tracker serves all, and needs no proof', () => {
  const { admission, registrations } = setUp({ isClosed: false });
  admission.admit({ infoHash: hashOf(1) });
  admission.admit({ infoHash: hashOf(1), proof: 'rubbish' });
  expect(registrations.counts()).toEqual({ operator: 0, member: 0 });
});

describe('rates', () => {
  test('bound each address for itself, with twenty seconds at once', () => {
    const { admission, time } = setUp({ rates: { perAddress: 2, total: Infinity } });
    const takes = (host: string): boolean => admission.retryAfterSeconds(host) === 0;
    expect(Array.from({ length: 45 }, () => takes('10.0.0.1')).filter(Boolean)).toHaveLength(40);
    expect(admission.retryAfterSeconds('10.0.0.1')).toBe(1);
    expect(takes('10.0.0.2')).toBe(true);
    time.nowMs += 1_000;
    expect([takes('10.0.0.1'), takes('10.0.0.1'), takes('10.0.0.1')]).toEqual([true, true, false]);
    expect(Array.from({ length: 100 }, () => takes('127.0.0.1')).every(Boolean)).toBe(true);
  });

  test('bound all together', () => {
    const { admission } = setUp({ rates: { perAddress: Infinity, total: 1 } });
    const taken = Array.from({ length: 30 }, (_, index) => admission.retryAfterSeconds(`10.0.0.${index}`) === 0);
    expect(taken.filter(Boolean)).toHaveLength(20);
  });

  test('are remembered of a bounded number of addresses', () => {
    const { admission } = setUp({ rates: { perAddress: 0.05, total: Infinity } });
    expect(admission.retryAfterSeconds('10.0.0.1')).toBe(0);
    expect(admission.retryAfterSeconds('10.0.0.1')).toBe(20);
    for (let number = 0; number < 65_536; number += 1)
      admission.retryAfterSeconds(`11.0.${Math.floor(number / 256)}.${number % 256}`);
    expect(admission.retryAfterSeconds('10.0.0.1')).toBe(0);
  });
});

test('an info-hash is read from digits and from magnet links', () => {
  const hex = 'c12fe1c06bba254a9dc9f519b335aa7c1367a88a';
  expect(parseInfoHash(hex.toUpperCase())).toBe(hex);
  expect(parseInfoHash(`magnet:?dn=x&xt=urn:btih:${hex}&tr=http://t`)).toBe(hex);
  expect(parseInfoHash('magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK')).toBe(hex);
  for (const text of ['', hex.slice(1), `${hex}0`, 'magnet:?xt=urn:btmh:1220', `../${hex}`])
    expect(parseInfoHash(text)).toBeUndefined();
});
