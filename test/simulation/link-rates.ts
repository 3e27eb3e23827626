/**
 * The links of simulated nodes. An uplink sends one piece at a time, to one peer after the other; it passes over a peer whose
 * downlink has enough on its way already. Small messages take their bytes from the uplink and nothing else.
 */
import type { EventQueue } from './event-queue.ts';
import type { SimChannel } from './sim-channel.ts';

/** Pieces that may be on their way to one downlink before further senders wait: what switches and sockets hold. */
const DOWNLINK_QUEUE_PIECES = 2;

export interface LinkRatesDeps {
  readonly events: EventQueue;
  readonly isAlive: (node: number) => boolean;
  readonly nowMs: () => number;
  readonly pieceBytes: (piece: number) => number;
  /** Event kinds: an uplink is free again; a piece has arrived. */
  readonly uplinkFree: number;
  readonly pieceArrived: number;
}

export interface LinkRatesConfig {
  readonly nodeCount: number;
  readonly rateBytesPerMs: number;
  readonly latencyMs: number;
  readonly pieceSizeBytes: number;
}

export class LinkRates {
  readonly #deps: LinkRatesDeps;
  readonly #config: LinkRatesConfig;
  readonly #upFreeAtMs: Float64Array;
  readonly #wakeAtMs: Float64Array;
  readonly #downFreeAtMs: Float64Array;
  readonly #owedBytes: Float64Array;
  readonly #turns: SimChannel[][];
  readonly #slackMs: number;
  /** Time that uplinks were sending, for all nodes. */
  readonly sentBytes: Float64Array;

  constructor(deps: LinkRatesDeps, config: LinkRatesConfig) {
    this.#deps = deps;
    this.#config = config;
    const { nodeCount } = config;
    this.#upFreeAtMs = new Float64Array(nodeCount);
    this.#wakeAtMs = new Float64Array(nodeCount).fill(Infinity);
    this.#downFreeAtMs = new Float64Array(nodeCount);
    this.#owedBytes = new Float64Array(nodeCount);
    this.sentBytes = new Float64Array(nodeCount);
    this.#turns = Array.from({ length: nodeCount }, () => []);
    this.#slackMs = (config.pieceSizeBytes / config.rateBytesPerMs) * DOWNLINK_QUEUE_PIECES;
  }

  /** Channels of a node that wait for its uplink. */
  turnCount(node: number): number {
    return this.#turns[node]?.length ?? 0;
  }

  /** A small message leaves a node. */
  spend(node: number, bytes: number): void {
    this.#owedBytes[node] = (this.#owedBytes[node] ?? 0) + bytes;
  }

  /** Bytes come to a node from outside of the swarm, no sooner than `earliestMs`; answers when they are there. */
  receive(node: number, bytes: number, earliestMs: number): number {
    const free = Math.max(this.#downFreeAtMs[node] ?? 0, this.#deps.nowMs());
    const arrivedMs = Math.max(earliestMs, free + bytes / this.#config.rateBytesPerMs);
    this.#downFreeAtMs[node] = arrivedMs;
    return arrivedMs;
  }

  /** A channel has pieces to send. */
  offer(channel: SimChannel): void {
    const { index } = channel.owner.node;
    if (!channel.hasTurn) {
      channel.hasTurn = true;
      this.#turns[index]?.push(channel);
    }
    this.serve(index);
  }

  /** Nothing goes to or from this node any more. */
  cut(node: number): void {
    for (const channel of this.#turns[node] ?? []) channel.hasTurn = false;
    this.#turns[node] = [];
    this.#downFreeAtMs[node] = Infinity;
  }

  /** Begins to send the next piece, if the uplink is free. */
  serve(node: number): void {
    const nowMs = this.#deps.nowMs();
    if ((this.#wakeAtMs[node] ?? 0) <= nowMs) this.#wakeAtMs[node] = Infinity;
    if ((this.#upFreeAtMs[node] ?? 0) > nowMs || !this.#deps.isAlive(node)) return;
    const turns = this.#turns[node] ?? [];
    let soonestMs = Infinity;
    for (let left = turns.length; left > 0; left -= 1) {
      const channel = turns.shift();
      if (channel === undefined) break;
      if (channel.wants.length === 0 || !channel.isOpen) {
        channel.hasTurn = false;
        continue;
      }
      turns.push(channel);
      const roomAtMs = (this.#downFreeAtMs[channel.peer.index] ?? 0) - this.#slackMs;
      if (roomAtMs <= nowMs) {
        this.#send(node, channel, nowMs);
        return;
      }
      soonestMs = Math.min(soonestMs, roomAtMs);
    }
    this.#wake(node, soonestMs);
  }

  #send(node: number, channel: SimChannel, nowMs: number): void {
    const piece = channel.wants.shift();
    const { twin } = channel;
    if (piece === undefined || twin === undefined) return;
    const { rateBytesPerMs, latencyMs } = this.#config;
    const bytes = this.#deps.pieceBytes(piece);
    const sentAtMs = nowMs + (bytes + (this.#owedBytes[node] ?? 0)) / rateBytesPerMs;
    this.#owedBytes[node] = 0;
    this.#upFreeAtMs[node] = sentAtMs;
    this.sentBytes[node] = (this.sentBytes[node] ?? 0) + bytes;
    const arrivedAtMs = this.receive(channel.peer.index, bytes, sentAtMs) + latencyMs;
    this.#deps.events.push(sentAtMs, this.#deps.uplinkFree, node, 0);
    this.#deps.events.push(arrivedAtMs, this.#deps.pieceArrived, twin.id, piece);
  }

  /** All receivers have enough for now: looks again when the first has room. */
  #wake(node: number, atMs: number): void {
    if (atMs >= (this.#wakeAtMs[node] ?? Infinity) || atMs === Infinity) return;
    this.#wakeAtMs[node] = atMs;
    this.#deps.events.push(atMs, this.#deps.uplinkFree, node, 0);
  }
}
