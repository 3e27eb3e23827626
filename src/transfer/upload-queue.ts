/**
 * What peers asked for, sent piece by piece. Links take turns by their sockets' own pace, the channels of one link as
 * `UploadTurns` says, so that a small blob is not behind a large one. A few pieces are read ahead for each link, no more:
 * what waits here is bounded by `uploadQueuePieces` numbers and `READ_AHEAD` buffers for a link.
 */
import { asError } from '../oci/error.ts';
import type { BufferPool } from '../content/buffer-pool.ts';
import type { Link } from '../swarm/link/link.ts';
import { MAX_CHUNK_BYTES } from '../swarm/link/frame.ts';
import type { Channel } from './channel.ts';
import { UploadTurns } from './upload-turns.ts';

/** Pieces of one link that may be in memory, being read or sent. */
const READ_AHEAD = 4;

/** Reads a piece for a peer, who owns it then; undefined when it is not held any more. */
export type ReadPiece = (piece: number) => Promise<Buffer | undefined>;

export interface UploadQueueDeps {
  readonly memory: BufferPool;
  /** How many bytes may be sent now; 0 means that `whenAllowed` calls back. */
  readonly rate: { take(bytes: number): number; whenAllowed(callback: () => void): void };
  readonly onSent: (channel: Channel, bytes: number) => void;
  /** The piece could not be read: the peer is to be told. `error` is absent when it is simply not held any more. */
  readonly onUnreadable: (channel: Channel, piece: number, error: Error | undefined) => void;
}

export interface UploadQueueConfig {
  readonly uploadSlots: number;
  readonly uploadQueuePieces: number;
}

interface Want {
  readonly channel: Channel;
  readonly piece: number;
  readonly read: ReadPiece;
  /** The peer took it back, or is gone, while it was being read. */
  isCancelled: boolean;
}

interface Sending extends Want {
  readonly bytes: Buffer;
  offset: number;
  /** All chunks of a piece go the same way, since they must not overtake each other. */
  way: Link | undefined;
}

interface Lane {
  /** Wants by channel; who was served last is last. */
  readonly wants: Map<Channel, Want[]>;
  readonly turns: UploadTurns;
  wantCount: number;
  readonly reading: Set<Want>;
  sending: Sending[];
  waitsForRate: boolean;
}

export class UploadQueue {
  readonly #deps: UploadQueueDeps;
  readonly #config: UploadQueueConfig;
  readonly #lanes = new Map<Link, Lane>();

  constructor(deps: UploadQueueDeps, config: UploadQueueConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Peers being served now. */
  get activeCount(): number {
    return this.#lanes.size;
  }

  /** Takes wants of a peer; answers those that are refused because there is too much to do. */
  add(channel: Channel, pieces: readonly number[], read: ReadPiece): number[] {
    let lane = this.#lanes.get(channel.link);
    if (lane === undefined) {
      if (this.#lanes.size >= this.#config.uploadSlots) return [...pieces];
      lane = {
        wants: new Map(),
        turns: new UploadTurns(),
        wantCount: 0,
        reading: new Set(),
        sending: [],
        waitsForRate: false,
      };
      this.#lanes.set(channel.link, lane);
    }
    const room = Math.max(0, this.#config.uploadQueuePieces - lane.wantCount);
    const taken = pieces.slice(0, room).map((piece) => ({ channel, piece, read, isCancelled: false }));
    const queued = lane.wants.get(channel);
    if (queued !== undefined) queued.push(...taken);
    else if (taken.length > 0) lane.wants.set(channel, taken);
    lane.wantCount += taken.length;
    this.pump(channel.link);
    return pieces.slice(room);
  }

  /** The peer does not need these any more. */
  cancel(channel: Channel, pieces: ReadonlySet<number>): void {
    const lane = this.#lanes.get(channel.link);
    if (lane !== undefined) this.#drop(channel, lane, (piece) => pieces.has(piece));
  }

  /** The channel is gone. */
  removeChannel(channel: Channel): void {
    const lane = this.#lanes.get(channel.link);
    if (lane !== undefined) this.#drop(channel, lane, () => true);
  }

  /** Wherever they are: waiting, being read, or half sent. The peer throws away what it got of them. */
  #drop(channel: Channel, lane: Lane, isDropped: (piece: number) => boolean): void {
    const queued = lane.wants.get(channel) ?? [];
    const left = queued.filter((want) => !isDropped(want.piece));
    lane.wantCount -= queued.length - left.length;
    if (left.length > 0) lane.wants.set(channel, left);
    else lane.wants.delete(channel);
    for (const want of lane.reading) if (want.channel === channel && isDropped(want.piece)) want.isCancelled = true;
    lane.sending = lane.sending.filter((sending) => sending.channel !== channel || !isDropped(sending.piece));
    this.#readAhead(channel.link, lane);
    this.#retire(channel.link, lane);
  }

  removeLink(link: Link): void {
    this.#lanes.delete(link);
  }

  /** Sends what can be sent; called again when the link drains. */
  pump(link: Link): void {
    const lane = this.#lanes.get(link);
    if (lane === undefined) return;
    this.#readAhead(link, lane);
    while (!lane.waitsForRate) {
      const [sending] = lane.sending;
      if (sending === undefined || !(sending.way ?? link.forChunks).canSendChunk) break;
      lane.sending.shift();
      this.#sendChunk(link, lane, sending);
    }
    this.#retire(link, lane);
  }

  #sendChunk(link: Link, lane: Lane, sending: Sending): void {
    const wantedBytes = Math.min(MAX_CHUNK_BYTES, sending.bytes.length - sending.offset);
    const length = this.#deps.rate.take(wantedBytes);
    if (length === 0) {
      lane.sending.unshift(sending);
      lane.waitsForRate = true;
      this.#deps.rate.whenAllowed(() => {
        lane.waitsForRate = false;
        this.pump(link);
      });
      return;
    }
    const { channel, piece, offset } = sending;
    if (channel.remoteId === undefined) return;
    const isLast = offset + length === sending.bytes.length;
    const chunk = sending.bytes.subarray(offset, offset + length);
    // Chunks leave in order, so when the last one has left the buffer is free.
    const onLeft = isLast ? (): void => this.#deps.memory.release(sending.bytes) : undefined;
    sending.way ??= link.forChunks;
    sending.way.sendChunk(channel.remoteId, piece, offset, chunk, onLeft);
    channel.sentBytes += length;
    this.#deps.onSent(channel, length);
    sending.offset += length;
    if (sending.offset < sending.bytes.length) this.#putBack(lane, sending);
    else this.#readAhead(link, lane);
  }

  /** Behind the first piece of another channel if there is one, so that channels take turns; else first again. */
  #putBack(lane: Lane, sending: Sending): void {
    const other = lane.sending.findIndex((candidate) => candidate.channel !== sending.channel);
    lane.sending.splice(other === -1 ? 0 : other + 1, 0, sending);
  }

  #readAhead(link: Link, lane: Lane): void {
    while (lane.reading.size + lane.sending.length < READ_AHEAD) {
      const want = this.#nextWant(lane);
      if (want === undefined) return;
      lane.reading.add(want);
      void want.read(want.piece).then(
        (bytes) => this.#onRead(link, lane, want, bytes, undefined),
        (thrown: unknown) => this.#onRead(link, lane, want, undefined, asError(thrown)),
      );
    }
  }

  #onRead(link: Link, lane: Lane, want: Want, bytes: Buffer | undefined, error: Error | undefined): void {
    lane.reading.delete(want);
    if (this.#lanes.get(link) !== lane) return;
    if (want.isCancelled) {
      if (bytes !== undefined) this.#deps.memory.release(bytes);
    } else if (bytes === undefined) this.#deps.onUnreadable(want.channel, want.piece, error);
    else lane.sending.push({ ...want, bytes, offset: 0, way: undefined });
    this.pump(link);
  }

  #nextWant(lane: Lane): Want | undefined {
    const channel = lane.turns.next(lane.wants.keys());
    const queued = channel === undefined ? undefined : lane.wants.get(channel);
    const want = queued?.shift();
    if (channel === undefined || queued === undefined || want === undefined) return undefined;
    lane.wants.delete(channel);
    lane.wantCount -= 1;
    if (queued.length > 0) lane.wants.set(channel, queued);
    return want;
  }

  #retire(link: Link, lane: Lane): void {
    if (lane.wantCount === 0 && lane.reading.size === 0 && lane.sending.length === 0) this.#lanes.delete(link);
  }
}
