/** What cluster tests share beside the net itself. */
import { onTestFinished } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { REPOSITORY, Testnet, type TestNode } from './testnet.ts';

export const MIB = 1024 * 1024;

/** A net that is closed after the test. */
export function startNet(): Testnet {
  const net = new Testnet();
  onTestFinished(async () => await net.close());
  return net;
}

/** What a client gets: all bytes until the body ends, and the error that ended it. */
export interface RawPull {
  readonly bytes: Buffer;
  readonly error: unknown;
  /** The body had as many bytes as were announced. */
  readonly isComplete: boolean;
}

/** Pulls a range, or the whole, and tells what came of it whatever happens. */
export async function pullRaw(
  node: TestNode,
  digest: Digest,
  options: { start?: number; end?: number; signal?: AbortSignal } = {},
): Promise<RawPull> {
  const chunks: Uint8Array[] = [];
  let error: unknown;
  let expectedBytes: number | undefined;
  try {
    const signal = options.signal ?? new AbortController().signal;
    await using reading = await node.transfer.blobs.open(digest, { repository: REPOSITORY, signal });
    const range = { start: options.start ?? 0, end: options.end ?? reading?.sizeBytes ?? 0 };
    expectedBytes = reading === undefined ? undefined : range.end - range.start;
    for await (const chunk of reading?.read(range) ?? []) chunks.push(Buffer.from(chunk));
  } catch (thrown) {
    error = thrown;
  }
  const bytes = Buffer.concat(chunks);
  return { bytes, error, isComplete: bytes.length === expectedBytes };
}

/** A copy with one bit changed. */
export function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
