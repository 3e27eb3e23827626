import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { givingUp, planJourney, type JourneySteps, type JourneyView } from '../../../src/transfer/journey-plan.ts';
import { originError } from '../../../src/origin/errors.ts';

const T = 1_000_000;

/** A follower that has just asked the homes and has a holder for everything. */
const CALM: JourneyView = {
  nowMs: T,
  startedAtMs: T - 100,
  isSearching: false,
  searchedAtMs: T - 50,
  discovery: 'idle',
  role: 'follower',
  holderCount: 1,
  lacksPieces: false,
  origin: 'idle',
  progressAtMs: T - 10,
};

/** The names of the steps that are due. */
function due(change: Partial<JourneyView>): (keyof JourneySteps)[] {
  const steps = planJourney({ ...CALM, ...change });
  return (['search', 'discover', 'readOrigin', 'giveUp'] as const).filter((step) => steps[step]);
}

describe('a journey', () => {
  test.each<[string, Partial<JourneyView>, (keyof JourneySteps)[]]>([
    ['does nothing while all goes well', {}, []],
    ['asks the homes first', { searchedAtMs: undefined, holderCount: 0 }, ['search']],
    ['waits for their answer', { searchedAtMs: undefined, isSearching: true, holderCount: 0 }, []],
    [
      'reads the origin as the reader',
      { role: 'reader', lacksPieces: true, holderCount: 0 },
      ['discover', 'readOrigin'],
    ],
    ['reads nothing that holders have', { role: 'reader' }, []],
    ['follows while the home reads', { lacksPieces: true }, []],
    ['reads the origin when it has nobody', { lacksPieces: true, holderCount: 0 }, ['discover', 'readOrigin']],
    [
      'loses patience with a home from which nothing comes',
      { lacksPieces: true, progressAtMs: 0, startedAtMs: T - 2600 },
      ['readOrigin'],
    ],
    ['asks the homes again while pieces lack', { lacksPieces: true, searchedAtMs: T - 1100 }, ['search']],
    [
      'does not ask again while it reads the origin',
      { lacksPieces: true, searchedAtMs: T - 1100, origin: 'reading' },
      [],
    ],
    [
      'asks again when nothing comes though it should',
      { searchedAtMs: T - 1100, progressAtMs: T - 3000, startedAtMs: T - 9000 },
      ['search'],
    ],
    ['looks elsewhere before it gives up', { origin: 'failed', lacksPieces: true, holderCount: 0 }, ['discover']],
    [
      'waits for what it finds elsewhere',
      { origin: 'failed', lacksPieces: true, holderCount: 0, discovery: 'running' },
      [],
    ],
    [
      'gives up with nobody left',
      { origin: 'failed', lacksPieces: true, holderCount: 0, discovery: 'done' },
      ['giveUp'],
    ],
    [
      'gives up what nobody has',
      { origin: 'absent', lacksPieces: true, holderCount: 0, discovery: 'done' },
      ['giveUp'],
    ],
    [
      'does not give up while the homes are asked',
      { origin: 'failed', holderCount: 0, discovery: 'done', isSearching: true, lacksPieces: true },
      [],
    ],
    [
      'hopes for holders that gather while something comes',
      { origin: 'failed', lacksPieces: true, discovery: 'done' },
      [],
    ],
    [
      'gives up hope when the origin is over and nothing has come at all for long',
      { origin: 'failed', lacksPieces: true, startedAtMs: T - 20_100, progressAtMs: 0 },
      ['giveUp'],
    ],
    [
      'hopes longer when a part has come',
      { origin: 'failed', lacksPieces: true, startedAtMs: T - 90_000, progressAtMs: T - 29_900 },
      [],
    ],
    [
      'gives up hope in the middle when nothing has come for very long',
      { origin: 'failed', lacksPieces: true, startedAtMs: T - 90_000, progressAtMs: T - 30_100 },
      ['giveUp'],
    ],
  ])('%s', (_what, change, steps) => {
    expect(due(change)).toEqual(steps);
  });
});

describe('giving up', () => {
  const digest = digestOf(Buffer.from('x'));

  test('tells absence from failure', () => {
    expect(givingUp(digest, 'absent', undefined, false).outcome).toBe('absent');
    expect(givingUp(digest, 'failed', new Error('reset'), false)).toMatchObject({
      outcome: 'failed',
      error: { code: 'ERR_TRANSFER_UNAVAILABLE', cause: { message: 'reset' } },
    });
  });

  test('gives the word of the origin before the first byte, and no clear end after it', () => {
    const refusal = originError('ERR_ORIGIN_UNAVAILABLE', 'busy');
    expect(givingUp(digest, 'failed', refusal, false).error).toBe(refusal);
    expect(givingUp(digest, 'failed', refusal, true).error).toMatchObject({
      code: 'ERR_TRANSFER_BROKEN',
      cause: refusal,
    });
    expect(givingUp(digest, 'absent', undefined, true).error).toMatchObject({ code: 'ERR_TRANSFER_BROKEN' });
  });
});
