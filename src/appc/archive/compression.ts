/** How an image is packed, told by its first bytes, and how it is unpacked as a stream. */
import { Readable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { createGunzip } from 'node:zlib';
import { asError, isAbortError } from '../../oci/error.ts';
import { appcError } from '../errors.ts';
import type { DecompressAnswer, DecompressCall, DecompressTask } from './decompress-protocol.ts';

/** What an image may be packed with; its file is named `.aci` in any case. */
export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz';

/** So many bytes tell which. */
export const MAGIC_BYTES = 512;

const MAGIC = [
  ['gzip', 0, '1f8b'],
  ['bzip2', 0, '425a68'],
  ['xz', 0, 'fd377a585a00'],
  ['none', 257, '7573746172'],
] as const;

/** @param head the first MAGIC_BYTES @throws {DockyardError} ERR_ACI_INVALID when it is none of them */
export function detectCompression(head: Buffer): Compression {
  const found = MAGIC.find(([, at, hex]) => head.toString('hex', at, at + hex.length / 2) === hex);
  if (found !== undefined) return found[0];
  throw appcError('ERR_ACI_INVALID', 'this is no app container image: neither a tar archive nor gzip, bzip2 or xz');
}

/**
 * The bytes that a packed stream stands for.
 * @throws {DockyardError} ERR_ACI_INVALID when it is damaged; what the source throws
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  if (compression === 'none') {
    yield* source;
    return;
  }
  const watched = new WatchedSource();
  try {
    yield* compression === 'gzip' ? gunzip(watched.chunks(source)) : inThread(watched.chunks(source), compression);
  } catch (thrown) {
    if (watched.failure !== undefined) throw watched.failure;
    if (isAbortError(thrown)) throw thrown;
    const { message } = asError(thrown);
    throw appcError('ERR_ACI_INVALID', `the image is damaged: ${compression} cannot be unpacked: ${message}`, {
      cause: thrown,
    });
  }
}

/** Tells a source that fails from a decoder that does. */
class WatchedSource {
  failure: Error | undefined;

  async *chunks(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      this.failure = asError(error);
      throw error;
    }
  }
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source, { objectMode: false });
  const output = createGunzip();
  input.once('error', (error) => output.destroy(error));
  input.pipe(output);
  try {
    for await (const chunk of output) yield chunk as Buffer;
  } finally {
    input.destroy();
    output.destroy();
  }
}

/** Under `dist` the thread is JavaScript, in a checkout TypeScript. */
const WORKER_URL = new URL(`decompress-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** Its decoders need 70 MB at most; the limit is for what nobody thought of. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16 } as const;

async function* inThread(
  source: AsyncIterable<Uint8Array>,
  format: DecompressTask['format'],
): AsyncGenerator<Uint8Array> {
  const input = source[Symbol.asyncIterator]();
  const task: DecompressTask = { format };
  const worker = new Worker(WORKER_URL, { workerData: task, resourceLimits: WORKER_LIMITS });
  const calls = new Calls(worker);
  const answer = (given: DecompressAnswer): void => worker.postMessage(given);
  try {
    for (;;) {
      const call = await calls.next();
      if (call.kind === 'end') return;
      if (call.kind === 'failed') throw new Error(call.reason);
      if (call.kind === 'chunk') {
        yield call.bytes;
        answer({ kind: 'more' });
        continue;
      }
      const next = await input.next();
      answer({ kind: 'bytes', bytes: next.done === true ? undefined : next.value });
    }
  } finally {
    await worker.terminate();
    await input.return?.(undefined);
  }
}

/** The next call of a thread, or its failure. */
class Calls {
  #waiting: PromiseWithResolvers<DecompressCall> = Promise.withResolvers();

  constructor(worker: Worker) {
    // A failure may come while nobody waits; whoever asks next is told.
    this.#waiting.promise.catch(() => undefined);
    worker.on('message', (call: DecompressCall) => this.#waiting.resolve(call));
    worker.once('error', (error) => this.#waiting.reject(error));
    worker.once('exit', () => this.#waiting.reject(new Error('the thread that unpacks ended early')));
  }

  async next(): Promise<DecompressCall> {
    const call = await this.#waiting.promise;
    this.#waiting = Promise.withResolvers();
    this.#waiting.promise.catch(() => undefined);
    return call;
  }
}
