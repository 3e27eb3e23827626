/**
 * Pieces on their way to the hash thread: those that come in one turn of the event loop go over in one message. Where they
 * come one by one they are hashed here: waking a thread and being woken by it costs the node more than the hash.
 */
import { hash } from 'node:crypto';
import { PIECE_HASH_BYTES } from './geometry.ts';
import { SharedMemoryNames, type SharedMemoryNews, type SharedSlice } from './shared-memory.ts';
import { TimeShare } from './time-share.ts';

/** Of the main thread's time, what hashing may take; beyond it the thread has to. */
const MAX_SHARE_HERE = 0.05;
/** What may be taken at once of it: a piece of 256 KiB takes 0.2 to 0.8 ms. */
const MAX_AT_ONCE_MS = 5;

/** What goes over, and its answer: the hashes one behind the other. */
export interface PieceHashBatch extends SharedMemoryNews {
  readonly slices: readonly SharedSlice[];
}

export type SendPieceHashBatch = (batch: PieceHashBatch) => Promise<Uint8Array>;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly done: (pieceHash: Buffer) => void;
}

/** Belongs to one thread; a new thread, which knows no memory yet, gets a new one. */
export class PieceHashQueue {
  readonly #send: SendPieceHashBatch;
  readonly #clock: { nowMs(): number };
  readonly #names = new SharedMemoryNames();
  readonly #here: TimeShare;
  #waiting: Waiting[] = [];
  #slices: SharedSlice[] = [];

  /** @param clock says how long a hash took, so it has to know parts of milliseconds */
  constructor(send: SendPieceHashBatch, clock: { nowMs(): number }) {
    this.#send = send;
    this.#clock = clock;
    this.#here = new TimeShare(MAX_SHARE_HERE, MAX_AT_ONCE_MS);
  }

  /** The SHA-256 of bytes, which must not change meanwhile. Bytes that are not in shared memory are hashed here, at once. */
  async hash(bytes: Uint8Array): Promise<Buffer> {
    const slice = this.#names.slice(bytes);
    if (slice === undefined) return hash('sha256', bytes, 'buffer');
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    if (this.#waiting.length === 0) setImmediate(() => void this.#flush());
    this.#waiting.push({ bytes, done: resolve });
    this.#slices.push(slice);
    return await promise;
  }

  async #flush(): Promise<void> {
    const waiting = this.#waiting;
    const slices = this.#slices;
    this.#waiting = [];
    this.#slices = [];
    const [only] = waiting;
    if (only !== undefined && waiting.length === 1 && this.#here.isFree(this.#clock.nowMs())) {
      this.#hashHere(only);
      return;
    }
    let hashes: Uint8Array;
    try {
      hashes = await this.#send({ ...this.#names.takeNews(), slices });
    } catch {
      // The thread died, or the store is being closed: whoever waits gets the hash all the same.
      for (const { bytes, done } of waiting) done(hash('sha256', bytes, 'buffer'));
      return;
    }
    for (const [index, { done }] of waiting.entries()) {
      done(Buffer.from(hashes.buffer, hashes.byteOffset + index * PIECE_HASH_BYTES, PIECE_HASH_BYTES));
    }
  }

  #hashHere({ bytes, done }: Waiting): void {
    const beganAtMs = this.#clock.nowMs();
    done(hash('sha256', bytes, 'buffer'));
    this.#here.take(this.#clock.nowMs() - beganAtMs);
  }
}
