/** The channels of one simulated journey, as HolderPool and the rules about silent peers know an `Exchange`. */
import type { SimChannel } from './sim-channel.ts';
import type { SimJourney } from './sim-journey.ts';
import { EVENT, type World } from './world.ts';

/** All pieces have the same bytes here, and so the same hash: nobody lies in a simulation. */
export const SAME_HASH: Buffer = Buffer.alloc(32);

export class SimExchange {
  readonly channels: SimChannel[] = [];
  /** All hashes are known as soon as a piece is told of: a node passes them on before it tells. */
  readonly map = { hash: (): Buffer => SAME_HASH };
  readonly #world: World;
  readonly #journey: SimJourney;

  constructor(world: World, journey: SimJourney) {
    this.#world = world;
    this.#journey = journey;
  }

  /** When what is sent now arrives. */
  get arrivalMs(): number {
    return this.#world.nowMs() + this.#world.scenario.latencyMs;
  }

  ask(channel: SimChannel, pieces: readonly number[]): void {
    if (pieces.length === 0 || channel.twin === undefined) return;
    for (const piece of pieces) channel.asked.add(piece);
    this.#journey.countMessages(1);
    this.#world.events.push(this.arrivalMs, EVENT.want, channel.twin.id, this.#world.lists.put(pieces));
  }

  cancel(channel: SimChannel, pieces: readonly number[]): void {
    const asked = pieces.filter((piece) => channel.asked.delete(piece));
    if (asked.length === 0) return;
    this.#journey.countMessages(1);
    this.#world.events.call(this.arrivalMs, () => {
      const wants = channel.twin?.wants ?? [];
      for (const piece of asked) {
        const at = wants.indexOf(piece);
        if (at !== -1) wants.splice(at, 1);
      }
    });
  }

  leave(channel: SimChannel, reason: 'done' | 'failed'): void {
    this.#journey.countMessages(1);
    this.close(channel);
    this.#world.events.call(this.arrivalMs, () => channel.twin?.owner.onLeft(channel.twin, reason));
  }

  /** This side of a channel is over. */
  close(channel: SimChannel): void {
    channel.isOpen = false;
    channel.wants.length = 0;
    const at = this.channels.indexOf(channel);
    if (at !== -1) this.channels.splice(at, 1);
  }

  /** All who lack pieces are told that everything is here. */
  tellComplete(): void {
    for (const channel of this.channels) {
      if (channel.remoteComplete) continue;
      this.#journey.countMessages(1);
      const { twin } = channel;
      if (twin !== undefined) this.#world.events.call(this.arrivalMs, () => twin.owner.onPeerComplete(twin));
    }
  }

  /** The node is gone: all peers notice that their channel closes. */
  vanish(): void {
    for (const channel of this.channels) {
      const { twin } = channel;
      if (twin !== undefined) this.#world.events.call(this.arrivalMs, () => twin.owner.onLeft(twin, 'closed'));
      channel.isOpen = false;
    }
    this.channels.length = 0;
  }
}
