/** To whom a reader of the origin tells of what it has read. */
import { expect, test } from 'vitest';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { generateIdentity } from '../../../src/swarm/identity.ts';
import type { Channel } from '../../../src/transfer/channel.ts';
import type { Exchange } from '../../../src/transfer/exchange.ts';
import { OriginSharing } from '../../../src/transfer/origin-sharing.ts';
import { PieceMap } from '../../../src/transfer/piece-map.ts';

const geometry = pieceGeometry(10 * 65_536);

/** A reader with peers that have nothing yet, and what it told: `all`, or the name of the one peer. */
function makeReader(...names: string[]) {
  const told: string[] = [];
  const clock = { ms: 0 };
  const channels = new Map(
    names.map((name) => [name, { isJoined: true, remoteHas: () => false, link: { peerId: name } }]),
  );
  const exchange = {
    digest: digestOf(Buffer.from('blob')),
    geometry,
    map: new PieceMap(geometry),
    channels,
    publish: () => undefined,
    announce: (piece: number, only?: Channel) => told.push(`${piece} to ${only?.link.peerId ?? 'all'}`),
  } as unknown as Exchange;
  const sharing = new OriginSharing({
    exchange,
    identity: generateIdentity(),
    home: () => undefined,
    nowMs: () => clock.ms,
  });
  const leave = (name: string): void => {
    const channel = channels.get(name);
    channels.delete(name);
    sharing.onLeft(channel as unknown as Channel);
  };
  return { sharing, told, leave, clock };
}

test('each piece that was read is told to one peer', () => {
  const { sharing, told } = makeReader('a', 'b');
  sharing.onBatch(0, Buffer.alloc(3 * 32));
  expect(told).toEqual(['0 to a', '1 to b', '2 to a']);
});

test('what only a peer that left was told is told to one other, not to all, who would all ask for it', () => {
  const { sharing, told, leave } = makeReader('a', 'b', 'c');
  sharing.onBatch(0, Buffer.alloc(3 * 32));
  leave('a');
  expect(told.slice(3)).toEqual(['0 to b']);
  expect(sharing.isSpreading).toBe(true);
});

test('with the last peer gone it is told to whoever comes', () => {
  const { sharing, told, leave } = makeReader('a');
  sharing.onBatch(0, Buffer.alloc(32));
  leave('a');
  expect(told.slice(1)).toEqual(['0 to all']);
  expect(sharing.isSpreading).toBe(false);
});

test('what did not come out in time is told to one other, and then to all', () => {
  const { sharing, told, clock } = makeReader('a', 'b', 'c');
  sharing.onBatch(0, Buffer.alloc(32));
  for (clock.ms = 500; clock.ms <= 2000; clock.ms += 500) sharing.tick();
  expect(told).toEqual(['0 to a', '0 to b', '0 to all']);
});
