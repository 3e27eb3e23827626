import { describe, expect, test } from 'vitest';
import { AnswerQueue, MAX_ANSWERS_BYTES, MAX_QUESTIONS, type AskedSide } from '../../../src/torrent/answer-queue.ts';

const BLOCK_BYTES = 16_384;

/** What webtorrent has of a peer: reads what is asked for until it is told that it is read. */
class WireDouble implements AskedSide {
  amChoking = false;
  peerRequests: { readonly length: number }[] = [];
  readonly asked: number[] = [];
  readonly cancelled: number[] = [];
  isDestroyed = false;

  _onRequest = (index: number, _offset: number, length: number): void => {
    this.asked.push(index);
    if (!this.amChoking) this.peerRequests.push({ length });
  };

  _onCancel: AskedSide['_onCancel'] = (index) => void this.cancelled.push(index);

  choke = (): void => {
    this.amChoking = true;
    this.peerRequests = [];
  };

  destroy(): void {
    this.isDestroyed = true;
  }
}

describe('questions of a peer', () => {
  test('are asked as far as their answers have room, and the others when it has taken some', () => {
    const wire = new WireDouble();
    let unsentBytes = 0;
    const queue = new AnswerQueue(wire, () => unsentBytes);
    for (let index = 0; index < 1000; index += 1) wire._onRequest(index, 0, BLOCK_BYTES);
    const most = MAX_ANSWERS_BYTES / BLOCK_BYTES;
    expect(wire.asked).toHaveLength(most);
    unsentBytes = most * BLOCK_BYTES;
    wire.peerRequests = [];
    queue.goOn();
    expect(wire.asked).toHaveLength(most);
    unsentBytes -= 10 * BLOCK_BYTES;
    queue.goOn();
    expect(wire.asked).toEqual(Array.from({ length: most + 10 }, (_, index) => index));
  });

  test('that are taken back are not asked, and webtorrent hears of those that were', () => {
    const wire = new WireDouble();
    const queue = new AnswerQueue(wire, () => 0);
    for (const index of [0, 1, 2]) wire._onRequest(index, 0, MAX_ANSWERS_BYTES);
    wire._onCancel(0, 0, MAX_ANSWERS_BYTES);
    wire._onCancel(1, 0, MAX_ANSWERS_BYTES);
    wire.peerRequests = [];
    queue.goOn();
    expect([wire.asked, wire.cancelled]).toEqual([[0, 2], [0]]);
  });

  test('are all refused when it is choked', () => {
    const wire = new WireDouble();
    const queue = new AnswerQueue(wire, () => MAX_ANSWERS_BYTES);
    for (const index of [0, 1, 2]) wire._onRequest(index, 0, BLOCK_BYTES);
    expect(wire.asked).toEqual([]);
    wire.choke();
    expect(wire.asked).toEqual([0, 1, 2]);
    queue.goOn();
    expect(wire.asked).toHaveLength(3);
  });

  test('are too many at some point, and it is left', () => {
    const wire = new WireDouble();
    const queue = new AnswerQueue(wire, () => MAX_ANSWERS_BYTES);
    for (let index = 0; index < MAX_QUESTIONS; index += 1) wire._onRequest(index, 0, BLOCK_BYTES);
    expect(wire.isDestroyed).toBe(false);
    wire._onRequest(MAX_QUESTIONS, 0, BLOCK_BYTES);
    expect(wire.isDestroyed).toBe(true);
    queue.goOn();
    expect(wire.asked).toEqual([]);
  });
});
