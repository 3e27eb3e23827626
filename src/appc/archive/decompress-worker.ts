/**
 * The thread in which bzip2 and xz are decoded: both take the processor for tens of milliseconds at a time, in which a node
 * would answer nobody. It works at the pace of its reader and ends with its stream, and its memory with it.
 */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import xz from 'xz-decompress';
import { asError } from '../../oci/error.ts';
import { bunzip2 } from './bunzip2.ts';
import type { DecompressAnswer, DecompressCall, DecompressTask } from './decompress-protocol.ts';

if (parentPort === null) throw new TypeError('decompress-worker.ts is to be started as a worker thread');

const { format } = workerData as DecompressTask;

async function run(port: MessagePort): Promise<void> {
  let asked: Promise<unknown> = Promise.resolve();
  // The decoder of xz reads ahead while its last chunk is still being handed over: one question after the other.
  const ask = async (call: DecompressCall): Promise<DecompressAnswer> => {
    const answer = asked.then(
      async () =>
        await new Promise<DecompressAnswer>((resolve) => {
          port.once('message', resolve);
          port.postMessage(call, call.kind === 'chunk' ? [call.bytes.buffer as ArrayBuffer] : []);
        }),
    );
    asked = answer;
    return await answer;
  };
  const compressed = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) {
      const answer = await ask({ kind: 'need' });
      if (answer.kind !== 'bytes' || answer.bytes === undefined) return;
      yield answer.bytes;
    }
  };
  try {
    const decoded = format === 'bzip2' ? bunzip2(compressed()) : unxz(compressed());
    for await (const bytes of decoded) {
      // A chunk is handed over with its memory, so it has to have one of its own.
      if (bytes.length > 0) await ask({ kind: 'chunk', bytes: Uint8Array.from(bytes) });
    }
    port.postMessage({ kind: 'end' } satisfies DecompressCall);
  } catch (error) {
    port.postMessage({ kind: 'failed', reason: asError(error).message } satisfies DecompressCall);
  }
  port.close();
}

/**
 * What the decoder means by its numbers.
 * @see xz-embedded, linux/include/linux/xz.h, enum xz_ret
 */
const XZ_FAILURES: Readonly<Record<string, string>> = {
  2: 'its kind of checksum is not supported',
  3: 'memory does not suffice',
  4: 'it needs a larger dictionary than is allowed',
  5: 'this is no xz stream',
  6: 'it was made with options that are not supported',
  7: 'a checksum does not match, or its data is damaged',
  8: 'the stream ends too early',
};

async function* unxz(source: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    const next = await source.next();
    if (next.done === true) controller.close();
    else controller.enqueue(next.value);
  };
  const stream = new xz.XzReadableStream(new ReadableStream({ pull }, { highWaterMark: 0 }));
  const reader = stream.getReader();
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) return;
      yield next.value;
    }
  } catch (cause) {
    const code = /error code (\d+)$/.exec(asError(cause).message)?.[1];
    throw new Error(XZ_FAILURES[code ?? ''] ?? asError(cause).message, { cause });
  }
}

await run(parentPort);
