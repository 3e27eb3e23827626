import { expect, test } from 'vitest';
import type { DiskFile } from '../../../src/content/disk.ts';
import { PieceWriter } from '../../../src/content/piece-writer.ts';

const PIECE = 8;

interface Call {
  readonly position: number;
  readonly count: number;
  /** Ends the call; `writtenBytes` may be fewer than were given. */
  end(writtenBytes?: number | Error): void;
}

/** A file whose calls end when the test says so. */
function slowFile(sizeBytes: number) {
  const content = Buffer.alloc(sizeBytes);
  const calls: Call[] = [];
  const put = async (bytes: Buffer, position: number, count: number): Promise<{ bytesWritten: number }> => {
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    const end = (written?: number | Error): void => (written instanceof Error ? reject(written) : resolve(written));
    calls.push({ position, count, end });
    const bytesWritten = Math.min((await promise) ?? bytes.length, bytes.length);
    bytes.copy(content, position, 0, bytesWritten);
    return { bytesWritten };
  };
  const file = {
    write: async (bytes: Uint8Array, offset: number, length: number, position: number) =>
      await put(Buffer.from(bytes.subarray(offset, offset + length)), position, 1),
    writev: async (buffers: readonly Uint8Array[], position: number) =>
      await put(Buffer.concat(buffers), position, buffers.length),
  } as unknown as DiskFile;
  return { file, calls, content };
}

const piece = (index: number, length = PIECE): Buffer => Buffer.alloc(length, index + 1);
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

/** Two calls are under way, of pieces 0 and 2; whatever comes now waits. */
function openBusy() {
  const opened = slowFile(32 * PIECE);
  const writer = new PieceWriter(opened.file, PIECE);
  const write = async (index: number, length?: number): Promise<void> =>
    await writer.write(piece(index, length), index * PIECE);
  return { ...opened, write, first: [write(0), write(2)] };
}

test('pieces that wait side by side go out in one call, those apart in calls of their own', async () => {
  const { calls, content, write, first } = openBusy();
  const later = [11, 9, 20, 10].map(async (index) => await write(index));
  await turn();
  expect(calls.map(({ position, count }) => [position / PIECE, count])).toEqual([
    [0, 1],
    [2, 1],
  ]);
  calls[0]?.end();
  calls[1]?.end();
  await Promise.all(first);
  expect(calls.slice(2).map(({ position, count }) => [position / PIECE, count])).toEqual([
    [9, 3],
    [20, 1],
  ]);
  calls[2]?.end();
  calls[3]?.end();
  await Promise.all(later);
  for (const index of [0, 2, 9, 10, 11, 20]) {
    expect(content.subarray(index * PIECE, (index + 1) * PIECE)).toEqual(piece(index));
  }
});

test('a call that wrote only a part is gone on with, across the end of the blob', async () => {
  const { calls, content, write, first } = openBusy();
  const later = [write(9), write(10), write(11, 3)];
  calls[0]?.end();
  calls[1]?.end();
  await Promise.all(first);
  calls[2]?.end(PIECE + 2);
  await turn();
  expect(calls[3]).toMatchObject({ position: 10 * PIECE + 2 });
  calls[3]?.end();
  await turn();
  calls[4]?.end();
  await Promise.all(later);
  expect(content.subarray(9 * PIECE, 11 * PIECE + 3)).toEqual(Buffer.concat([piece(9), piece(10), piece(11, 3)]));
});

test('an error reaches all that went out together and no other, and they can be written again', async () => {
  const { calls, write, first } = openBusy();
  const later = [write(9), write(10)];
  const apart = write(20);
  calls[0]?.end();
  calls[1]?.end();
  await Promise.all(first);
  calls[2]?.end(new Error('no space'));
  calls[3]?.end();
  await apart;
  for (const failed of later) await expect(failed).rejects.toThrow('no space');
  const again = write(9);
  calls[4]?.end();
  await again;
});
