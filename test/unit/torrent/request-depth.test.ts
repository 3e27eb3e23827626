import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { askDeeper, type AskedWire, type AskingTorrent } from '../../../src/torrent/request-depth.ts';

const MIB = 1024 * 1024;

class WireDouble extends EventEmitter implements AskedWire {
  type = 'tcpOutgoing';
  average = 0;
  downloadSpeed = (_bytes?: number): number => this.average;
}

/** Notes at which rate each peer is taken to be when more is asked of it. */
class TorrentDouble extends EventEmitter implements AskingTorrent<WireDouble> {
  asked = 0;
  _updateWire = (wire: WireDouble): void => void (this.asked = wire.downloadSpeed());
}

function setUp(type = 'tcpOutgoing'): { wire: WireDouble; time: { nowMs: number }; rateWhenAsked: () => number } {
  const time = { nowMs: 0 };
  const torrent = new TorrentDouble();
  askDeeper(torrent, () => time.nowMs);
  const wire = new WireDouble();
  wire.type = type;
  torrent.emit('wire', wire);
  const rateWhenAsked = (): number => {
    torrent._updateWire(wire);
    return torrent.asked;
  };
  return { wire, time, rateWhenAsked };
}

describe('what is asked of a peer', () => {
  test('is a megabyte at first, and then what came in the best of the last seconds', () => {
    const { wire, time, rateWhenAsked } = setUp();
    expect(rateWhenAsked()).toBe(MIB);
    wire.emit('download', MIB);
    time.nowMs = 900;
    wire.emit('download', MIB);
    expect(rateWhenAsked()).toBe(2 * MIB);
    time.nowMs = 1500;
    wire.emit('download', 100);
    expect(rateWhenAsked()).toBe(2 * MIB);
    time.nowMs = 2600;
    expect(rateWhenAsked()).toBe(100);
    time.nowMs = 10_000;
    expect(rateWhenAsked()).toBe(0);
  });

  test('is never less than its average says, which counts for everything else', () => {
    const { wire, rateWhenAsked } = setUp();
    wire.average = 5 * MIB;
    expect(rateWhenAsked()).toBe(5 * MIB);
    wire.average = 10;
    expect(wire.downloadSpeed()).toBe(10);
  });

  test('is left alone for a web seed', () => {
    const { rateWhenAsked } = setUp('webSeed');
    expect(rateWhenAsked()).toBe(0);
  });
});
