/**
 * The worker thread that hashes for a store: whole blobs, pieces, recovery after a crash, and the hash that runs ahead
 * of a download. One thread is enough (2 GB/s), and keeps a node at one core of hashing at most. Work is cut into
 * slices, and the slices of all jobs are taken in turn, so a small blob never waits for a large one.
 */
import { hash, type Hash, createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { Bitfield } from './bitfield.ts';
import { PIECE_HASH_BYTES } from './geometry.ts';
import type { HashReply, HashRequest, ScannedBlob } from './hash-protocol.ts';
import { mapEntry } from './partial-map.ts';
import { SharedMemoryView } from './shared-memory.ts';

/** Bytes hashed before another job has its turn, and before pieces that came in have theirs: about half a millisecond. */
const SLICE_BYTES = 1024 * 1024;
const READ_BYTES = 1024 * 1024;

/** A job does one slice per call, and says whether it has more to do right now. */
interface Job {
  step(): 'more' | 'idle' | 'done';
  close(): void;
}

if (parentPort === null) throw new TypeError('hash-worker.ts is to be started as a worker thread');
const port = parentPort;
const jobs = new Map<number, Job>();
const ready: number[] = [];
const memory = new SharedMemoryView();
const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
let scheduled = false;

function reply(message: HashReply): void {
  port.postMessage(message);
}

/** Reads into the shared buffer; the answer is shorter only where the file ends. */
function readChunk(fd: number, position: number, length: number): Buffer {
  let done = 0;
  while (done < length) {
    const count = readSync(fd, buffer, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return buffer.subarray(0, done);
}

/** A hash over the beginning of a file, as far as it is known to be right. */
class RunningHash implements Job {
  readonly #id: number;
  readonly #algorithm: string;
  readonly #hash: Hash;
  readonly #fd: number;
  #position = 0;
  #end = 0;
  #finishing = false;

  constructor(id: number, path: string, algorithm: string) {
    this.#id = id;
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
    this.#fd = openSync(path, 'r');
  }

  advance(end: number, finishing: boolean): void {
    this.#end = Math.max(this.#end, end);
    this.#finishing ||= finishing;
  }

  step(): 'more' | 'idle' | 'done' {
    const sliceEnd = Math.min(this.#end, this.#position + SLICE_BYTES);
    let endOfFile = false;
    while (this.#position < sliceEnd && !endOfFile) {
      const wantedBytes = Math.min(READ_BYTES, sliceEnd - this.#position);
      const chunk = readChunk(this.#fd, this.#position, wantedBytes);
      this.#hash.update(chunk);
      this.#position += chunk.length;
      endOfFile = chunk.length < wantedBytes;
    }
    if (!endOfFile && this.#position < this.#end) return 'more';
    if (!this.#finishing) return 'idle';
    const digest = `${this.#algorithm}:${this.#hash.digest('hex')}`;
    reply({ kind: 'digest', id: this.#id, digest, hashedBytes: this.#position });
    return 'done';
  }

  close(): void {
    closeSync(this.#fd);
  }
}

type PiecesRequest = Extract<HashRequest, { kind: 'pieces' | 'recover' }>;

/** The hash of every piece, or of those that a map names, compared with it. */
class PieceHashes implements Job {
  readonly #request: PiecesRequest;
  readonly #fd: number;
  readonly #count: number;
  readonly #hashes: Buffer;
  readonly #held: Bitfield;
  #index = 0;

  constructor(request: PiecesRequest) {
    this.#request = request;
    this.#fd = openSync(request.path, 'r');
    this.#count = Math.ceil(request.sizeBytes / request.pieceSizeBytes);
    this.#hashes = request.kind === 'pieces' ? Buffer.alloc(this.#count * PIECE_HASH_BYTES) : Buffer.from(request.body);
    this.#held = new Bitfield(this.#count);
  }

  step(): 'more' | 'idle' | 'done' {
    let budgetBytes = SLICE_BYTES;
    for (; this.#index < this.#count && budgetBytes > 0; this.#index += 1) budgetBytes -= this.#hashPiece(this.#index);
    if (this.#index < this.#count) return 'more';
    if (this.#request.kind === 'pieces') reply({ kind: 'pieces', id: this.#request.id, hashes: this.#hashes });
    else reply({ kind: 'held', id: this.#request.id, bits: this.#held.toBytes() });
    return 'done';
  }

  #hashPiece(index: number): number {
    const { pieceSizeBytes, sizeBytes, kind } = this.#request;
    const expected = kind === 'recover' ? mapEntry(this.#hashes, index) : undefined;
    // Skipped pieces cost a little too, so that a map of millions of empty entries cannot hold the thread.
    if (kind === 'recover' && expected === undefined) return 64;
    const start = index * pieceSizeBytes;
    const piece = readChunk(this.#fd, start, Math.min(pieceSizeBytes, sizeBytes - start));
    const found = hash('sha256', piece, 'buffer');
    if (kind === 'pieces') found.copy(this.#hashes, index * PIECE_HASH_BYTES);
    else if (expected !== undefined && found.equals(expected)) this.#held.add(index);
    return pieceSizeBytes;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Names in a folder; a folder that is not there has none. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Not there, or a stray file in place of a folder: either way it holds no blob.
  }
}

function scan(root: string): ScannedBlob[] {
  const blobs: ScannedBlob[] = [];
  for (const algorithm of namesIn(root)) {
    for (const shard of namesIn(join(root, algorithm))) {
      const folder = join(root, algorithm, shard);
      for (const hex of namesIn(folder)) {
        // A link may lead to any file of this machine, which is not to be served.
        const facts = lstatSync(join(folder, hex), { throwIfNoEntry: false });
        if (facts?.isFile() !== true) continue;
        blobs.push({ digest: `${algorithm}:${hex}`, sizeBytes: facts.size, mtimeMs: facts.mtimeMs, mode: facts.mode });
      }
    }
  }
  return blobs;
}

/** Somebody waits for these with the rest of their way still before them. */
function hashBytes(request: Extract<HashRequest, { kind: 'bytes' }>): void {
  memory.learn(request);
  const hashes = Buffer.alloc(request.slices.length * PIECE_HASH_BYTES);
  for (const [index, slice] of request.slices.entries()) {
    hash('sha256', memory.bytes(slice), 'buffer').copy(hashes, index * PIECE_HASH_BYTES);
  }
  reply({ kind: 'pieces', id: request.id, hashes });
}

function start(request: HashRequest): void {
  switch (request.kind) {
    case 'bytes':
      hashBytes(request);
      return;
    case 'scan':
      reply({ kind: 'scan', id: request.id, blobs: scan(request.path) });
      return;
    case 'begin':
      jobs.set(request.id, new RunningHash(request.id, request.path, request.algorithm));
      return;
    case 'whole': {
      const job = new RunningHash(request.id, request.path, request.algorithm);
      job.advance(Number.MAX_SAFE_INTEGER, true);
      jobs.set(request.id, job);
      break;
    }
    case 'pieces':
    case 'recover':
      jobs.set(request.id, new PieceHashes(request));
      break;
    case 'advance':
    case 'finish': {
      const job = jobs.get(request.id);
      if (!(job instanceof RunningHash)) {
        // It failed before, or an earlier thread had it: only the one who waits for the answer has to know.
        if (request.kind === 'finish') throw new Error('there is no such running hash');
        return;
      }
      job.advance(request.end, request.kind === 'finish');
      break;
    }
    case 'cancel':
      end(request.id);
      return;
  }
  if (!ready.includes(request.id)) ready.push(request.id);
  schedule();
}

function end(id: number): void {
  jobs.get(id)?.close();
  jobs.delete(id);
}

function fail(id: number, error: unknown): void {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  reply({ kind: 'failed', id, message: error instanceof Error ? error.message : 'unknown failure', code });
  end(id);
}

/** One slice of the job whose turn it is; messages that came meanwhile are read between two turns. */
function turn(): void {
  scheduled = false;
  const id = ready.shift();
  const job = id === undefined ? undefined : jobs.get(id);
  if (id !== undefined && job !== undefined) {
    try {
      const state = job.step();
      if (state === 'more') ready.push(id);
      if (state === 'done') end(id);
    } catch (error) {
      fail(id, error);
    }
  }
  schedule();
}

function schedule(): void {
  if (scheduled || ready.length === 0) return;
  scheduled = true;
  setImmediate(turn);
}

port.on('message', (request: HashRequest) => {
  try {
    start(request);
  } catch (error) {
    fail(request.id, error);
  }
});
