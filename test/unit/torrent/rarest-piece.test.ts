import { describe, expect, test } from 'vitest';
import { chooseAmongMissing, type ChoosingTorrent } from '../../../src/torrent/rarest-piece.ts';
import { seededRandom } from '../../support/seeded-random.ts';

/** A torrent of four pieces, of which each is told how many peers have it. */
function torrentOf(counts: number[]): {
  readonly torrent: ChoosingTorrent;
  readonly held: Set<number>;
  readonly wires: unknown[];
  readonly pieces: { _flushed: boolean; _chunks: number; _reservations: number; _cancellations: number[] }[];
  readonly choose: (isWanted?: (index: number) => boolean) => number;
  readonly end: () => void;
} {
  const held = new Set<number>();
  const wires: unknown[] = [{}];
  const pieces = counts.map(() => ({ _flushed: false, _chunks: 2, _reservations: 0, _cancellations: [] as number[] }));
  const map: { _pieces: number[] | null; getRarestPiece: (isWanted?: (index: number) => boolean) => number } = {
    _pieces: counts,
    getRarestPiece: () => -1,
  };
  const torrent = { bitfield: { get: (index: number) => held.has(index) }, pieces, wires, _rarityMap: map };
  chooseAmongMissing(torrent, seededRandom(1));
  const choose = (isWanted?: (index: number) => boolean): number => map.getRarestPiece(isWanted);
  return { torrent, held, wires, pieces, choose, end: () => (map._pieces = null) };
}

describe('the next piece', () => {
  test('is the rarest that is missing and wanted', () => {
    const { held, choose } = torrentOf([3, 1, 2, 5]);
    expect(choose()).toBe(1);
    expect(choose((index) => index !== 1)).toBe(2);
    held.add(1);
    expect(choose()).toBe(2);
    held.add(2).add(0);
    expect(choose()).toBe(3);
    held.add(3);
    expect(choose()).toBe(-1);
  });

  test('is any of those that are as rare', () => {
    const { choose } = torrentOf([2, 2, 2, 3]);
    const chosen = new Set(Array.from({ length: 50 }, () => choose()));
    expect([...chosen].toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
  });

  test('is none that was asked for to the last block, unless another peer may be faster or a block came back', () => {
    const { pieces, wires, choose } = torrentOf([1, 2]);
    const [first] = pieces;
    if (first === undefined) throw new TypeError('there is no piece');
    first._reservations = 2;
    expect(choose()).toBe(1);
    first._cancellations.push(0);
    expect(choose()).toBe(0);
    first._cancellations.pop();
    wires.push({});
    expect(choose()).toBe(0);
    first._flushed = true;
    expect(choose()).toBe(1);
  });

  test('is none when the torrent has ended', () => {
    const { choose, end } = torrentOf([1]);
    end();
    expect(choose()).toBe(-1);
  });
});
