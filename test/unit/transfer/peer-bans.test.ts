import { expect, test } from 'vitest';
import { PeerBans } from '../../../src/transfer/peer-bans.ts';

function bansAt(): { bans: PeerBans; clock: { ms: number } } {
  const clock = { ms: 1000 };
  return { bans: new PeerBans({ nowMs: () => clock.ms }, { banMs: 60_000 }), clock };
}

test('a ban ends when its time is over', () => {
  const { bans, clock } = bansAt();
  bans.ban('a');
  clock.ms += 59_999;
  expect([bans.isBanned('a'), bans.isBanned('b')]).toEqual([true, false]);
  clock.ms += 1;
  expect(bans.isBanned('a')).toBe(false);
  expect(bans.size).toBe(0);
});

test('the third break of the protocol within the time of a ban is one too many', () => {
  const { bans, clock } = bansAt();
  expect([bans.strike('a'), bans.strike('a'), bans.strike('b')]).toEqual([false, false, false]);
  expect(bans.strike('a')).toBe(true);
  clock.ms += 60_000;
  expect(bans.strike('b')).toBe(false);
});

test('a swarm of liars does not fill the memory', () => {
  const { bans } = bansAt();
  for (let index = 0; index < 10_000; index += 1) {
    bans.ban(`peer-${index}`);
    bans.strike(`other-${index}`);
  }
  expect(bans.size).toBe(4096);
  expect([bans.isBanned('peer-0'), bans.isBanned('peer-9999')]).toEqual([false, true]);
});
