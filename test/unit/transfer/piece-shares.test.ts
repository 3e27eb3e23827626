import { expect, test } from 'vitest';
import type { PeerId } from '../../../src/swarm/member.ts';
import { PieceShares } from '../../../src/transfer/piece-shares.ts';

const COUNT = 4000;
const peers = Array.from({ length: 8 }, (_, index) => `12D3KooWpeer${index}`);

function sharesOf(self: PeerId, all: readonly PeerId[]): PieceShares {
  const shares = new PieceShares(self);
  shares.setOthers(all.filter((peerId) => peerId !== self));
  return shares;
}

test('every piece falls to exactly one of those who lack it, about as many to each', () => {
  const counts = peers.map(() => 0);
  const all = peers.map((self) => sharesOf(self, peers));
  for (let piece = 0; piece < COUNT; piece += 1) {
    const owners = all.flatMap((shares, index) => (shares.isOwn(piece) ? [index] : []));
    expect(owners).toHaveLength(1);
    counts[owners[0] ?? 0] = (counts[owners[0] ?? 0] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - COUNT / peers.length)).toBeLessThan(COUNT / peers.length / 5);
});

test('who alone lacks pieces is given all; when one joins, only what falls to it changes hands', () => {
  const [first, second, third] = peers;
  if (first === undefined || second === undefined || third === undefined) throw new TypeError('too few peers');
  const alone = sharesOf(first, [first]);
  const before = sharesOf(second, [first, second]);
  const after = sharesOf(second, [first, second, third]);
  for (let piece = 0; piece < COUNT; piece += 1) {
    expect(alone.isOwn(piece)).toBe(true);
    if (after.isOwn(piece)) expect(before.isOwn(piece)).toBe(true);
  }
});
