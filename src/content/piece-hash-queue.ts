/** Pieces on their way to the hash thread: those that come in one turn of the event loop go over in one message. */
import { hash } from 'node:crypto';
import { PIECE_HASH_BYTES } from './geometry.ts';
import { SharedMemoryNames, type SharedMemoryNews, type SharedSlice } from './shared-memory.ts';

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
  readonly #names = new SharedMemoryNames();
  #waiting: Waiting[] = [];
  #slices: SharedSlice[] = [];

  constructor(send: SendPieceHashBatch) {
    this.#send = send;
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
}
