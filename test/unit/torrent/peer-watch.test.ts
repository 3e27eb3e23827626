import { describe, expect, test } from 'vitest';
import { PeerWatch } from '../../../src/torrent/peer-watch.ts';

describe('a peer', () => {
  function watch() {
    const state = { nowMs: 0, receivedBytes: 0, takenBytes: 0, unsentBytes: 0, left: 0 };
    const peers = new PeerWatch(() => state.nowMs, 1000);
    const peer = {};
    peers.add(
      peer,
      () => state,
      () => (state.left += 1),
    );
    const later = (change: Partial<typeof state> = {}): number => {
      Object.assign(state, change, { nowMs: state.nowMs + 600 });
      peers.look();
      return state.left;
    };
    return { state, peers, peer, later };
  }

  test('that says nothing is left, once', () => {
    const { later } = watch();
    expect([later(), later(), later()]).toEqual([0, 1, 1]);
  });

  test('that says something now and then is kept, but for one that takes nothing of what waits for it', () => {
    const { later } = watch();
    expect([later({ receivedBytes: 1 }), later({ receivedBytes: 2, unsentBytes: 100 })]).toEqual([0, 0]);
    expect(later({ receivedBytes: 3, takenBytes: 1 })).toBe(0);
    expect(later({ receivedBytes: 4 })).toBe(0);
    expect(later({ receivedBytes: 5 })).toBe(1);
  });

  test('that was forgotten is not left', () => {
    const { peers, peer, later } = watch();
    peers.forget(peer);
    expect([later(), later()]).toEqual([0, 0]);
  });
});
