/** The main thread's side of the hash worker. */
import { Worker } from 'node:worker_threads';
import { isDigest, type Digest, type DigestAlgorithm } from '../oci/digest.ts';
import { Bitfield } from './bitfield.ts';
import { contentError } from './errors.ts';
import type { PieceGeometry } from './geometry.ts';
import type { HashReply, HashRequest, ScannedBlob } from './hash-protocol.ts';
import { PieceHashQueue, type PieceHashBatch } from './piece-hash-queue.ts';

type Asking = Exclude<HashRequest['kind'], 'begin' | 'advance' | 'cancel'>;

interface Waiter {
  resolve(reply: HashReply): void;
  reject(error: Error): void;
}

/** A hash over the beginning of a file that is still being gathered. */
export interface RunAhead {
  /** The bytes before `end` are right now. Cheap; may be called for every piece. */
  advance(end: number): void;
  /** The digest of the first `end` bytes, all of which are right now. Ends the work. */
  finish(end: number): Promise<{ digest: string; hashedBytes: number }>;
  /** Ends the work without an answer. */
  cancel(): void;
}

/** A message to the worker for every piece would cost more than the hash; this much is worth one. */
const ADVANCE_STEP_BYTES = 2 * 1024 * 1024;

/** Owns the worker, starts it when it is first needed, and ends it at `close`. */
export class HashThread implements AsyncDisposable {
  readonly #waiters = new Map<number, Waiter>();
  readonly #clock: { nowMs(): number };
  #worker: Worker | undefined;
  #pieces: PieceHashQueue;
  #nextId = 1;
  #closed = false;

  constructor(clock: { nowMs(): number }) {
    this.#clock = clock;
    this.#pieces = this.#newPieceQueue();
  }

  /** The digest of a whole file. @throws {DockyardError} ERR_STORE_IO, ERR_STORE_CLOSED */
  async wholeFile(
    path: string,
    algorithm: DigestAlgorithm,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Digest> {
    const reply = await this.#ask({ kind: 'whole', path, algorithm }, options.signal);
    if (reply.kind !== 'digest' || !isDigest(reply.digest)) throw unexpected(reply);
    return reply.digest;
  }

  /** The SHA-256 of a piece that came in; off the main thread when its memory is shared and it is one of many. Never fails. */
  async ofPiece(bytes: Uint8Array): Promise<Buffer> {
    return await this.#pieces.hash(bytes);
  }

  /** The SHA-256 of every piece of a file, 32 bytes each. */
  async pieceHashes(path: string, geometry: PieceGeometry): Promise<Buffer> {
    const { sizeBytes, pieceSizeBytes } = geometry;
    const reply = await this.#ask({ kind: 'pieces', path, sizeBytes, pieceSizeBytes });
    if (reply.kind !== 'pieces') throw unexpected(reply);
    return asBuffer(reply.hashes);
  }

  /** Which pieces of a file are as the body of its map says. */
  async heldPieces(path: string, geometry: PieceGeometry, body: Uint8Array): Promise<Bitfield> {
    const { sizeBytes, pieceSizeBytes } = geometry;
    const reply = await this.#ask({ kind: 'recover', path, sizeBytes, pieceSizeBytes, body });
    if (reply.kind !== 'held') throw unexpected(reply);
    return new Bitfield(geometry.pieceCount, reply.bits);
  }

  /** The blob files under a folder, whatever their names. */
  async scan(path: string): Promise<readonly ScannedBlob[]> {
    const reply = await this.#ask({ kind: 'scan', path });
    if (reply.kind !== 'scan') throw unexpected(reply);
    return reply.blobs;
  }

  /** Begins a hash that runs ahead of a download. */
  runAhead(path: string, algorithm: DigestAlgorithm): RunAhead {
    const id = this.#nextId++;
    let toldEnd = 0;
    this.#post({ kind: 'begin', id, path, algorithm });
    return {
      advance: (end) => {
        if (end - toldEnd < ADVANCE_STEP_BYTES) return;
        toldEnd = end;
        this.#post({ kind: 'advance', id, end });
      },
      finish: async (end) => {
        const reply = await this.#wait({ kind: 'finish', id, end });
        if (reply.kind !== 'digest') throw unexpected(reply);
        return { digest: reply.digest, hashedBytes: reply.hashedBytes };
      },
      cancel: () => {
        if (!this.#closed) this.#post({ kind: 'cancel', id });
      },
    };
  }

  /** Ends the thread; whoever still waits gets ERR_STORE_CLOSED. */
  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
    this.#failAll(closedError());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #newPieceQueue(): PieceHashQueue {
    const queue: PieceHashQueue = new PieceHashQueue(async (batch: PieceHashBatch) => {
      // Its names of memory mean nothing to a thread that was started later.
      if (this.#pieces !== queue) throw closedError();
      const reply = await this.#ask({ kind: 'bytes', ...batch });
      if (reply.kind !== 'pieces') throw unexpected(reply);
      return reply.hashes;
    }, this.#clock);
    return queue;
  }

  async #ask(
    request: DistributiveOmit<Extract<HashRequest, { kind: Asking }>, 'id'>,
    signal?: AbortSignal,
  ): Promise<HashReply> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const waiting = this.#wait({ ...request, id });
    if (signal === undefined) return await waiting;
    const abandon = (): void => {
      this.#post({ kind: 'cancel', id });
      this.#waiters
        .get(id)
        ?.reject(signal.reason instanceof Error ? signal.reason : new DOMException('aborted', 'AbortError'));
      this.#waiters.delete(id);
    };
    signal.addEventListener('abort', abandon, { once: true });
    try {
      return await waiting;
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  }

  async #wait(request: HashRequest): Promise<HashReply> {
    const answer = Promise.withResolvers<HashReply>();
    this.#waiters.set(request.id, answer);
    try {
      this.#post(request);
      // The thread must not keep the process alive by itself, but must while someone waits for it.
      this.#worker?.ref();
      return await answer.promise;
    } finally {
      this.#waiters.delete(request.id);
      if (this.#waiters.size === 0) this.#worker?.unref();
    }
  }

  #post(request: HashRequest): void {
    if (this.#closed) throw closedError();
    this.#worker ??= this.#start();
    this.#worker.postMessage(request);
  }

  #start(): Worker {
    // In a checkout this file is TypeScript, in the published package JavaScript; the worker beside it likewise.
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    const worker = new Worker(new URL(`./hash-worker${extension}`, import.meta.url));
    worker.unref();
    worker.on('message', (reply: HashReply) => {
      const waiter = this.#waiters.get(reply.id);
      if (reply.kind === 'failed') waiter?.reject(failure(reply.message, reply.code));
      else waiter?.resolve(reply);
    });
    worker.on('error', (error) => this.#dropWorker(worker, error));
    worker.on('exit', () => this.#dropWorker(worker, undefined));
    return worker;
  }

  /** A thread that died takes its work with it; the next request starts another. */
  #dropWorker(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#pieces = this.#newPieceQueue();
    this.#failAll(contentError('ERR_STORE_IO', 'the hash thread ended unexpectedly', { cause }));
  }

  #failAll(error: Error): void {
    for (const waiter of this.#waiters.values()) waiter.reject(error);
    this.#waiters.clear();
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function closedError(): Error {
  return contentError('ERR_STORE_CLOSED', 'the content store is closed');
}

function failure(message: string, code: string | undefined): Error {
  return contentError('ERR_STORE_IO', 'a file of the store could not be read', {
    cause: Object.assign(new Error(message), { code }),
  });
}

function unexpected(reply: HashReply): Error {
  return new TypeError(`the hash thread gave an answer of kind '${reply.kind}' to another question`);
}
