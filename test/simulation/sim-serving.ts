/** What a simulated node does with pieces that a peer asks for: what stands in the place of `UploadQueue`. */
import { REFUSAL } from '../../src/transfer/wire.ts';
import type { SimChannel } from './sim-channel.ts';
import type { World } from './world.ts';

/** As nodes' configuration has it. */
const UPLOAD_QUEUE_PIECES = 256;

/** Takes pieces that a peer wants into its queue, and refuses what is too much or not held. */
export function serve(world: World, channel: SimChannel, pieces: readonly number[]): void {
  const { owner, wants } = channel;
  const isRefused = !channel.hasTurn && world.links.turnCount(owner.node.index) >= world.scenario.uploadSlots;
  const room = isRefused ? 0 : UPLOAD_QUEUE_PIECES - wants.length;
  const refused: number[] = [];
  const absent: number[] = [];
  let left = room;
  for (const piece of pieces) {
    if (!owner.held.has(piece)) {
      absent.push(piece);
      continue;
    }
    if (left > 0) wants.push(piece);
    else refused.push(piece);
    left -= 1;
  }
  refuse(world, channel, REFUSAL.busy, refused);
  refuse(world, channel, REFUSAL.absent, absent);
  if (wants.length > 0) world.links.offer(channel);
}

function refuse(world: World, channel: SimChannel, reason: number, pieces: readonly number[]): void {
  if (pieces.length === 0) return;
  channel.owner.countMessages(1);
  world.events.call(world.nowMs() + world.scenario.latencyMs, () => {
    channel.twin?.owner.onRefused(channel.twin, reason, pieces);
  });
}
