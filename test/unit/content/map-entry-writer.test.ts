import { expect, test } from 'vitest';
import type { DiskFile } from '../../../src/content/disk.ts';
import { MapEntryWriter } from '../../../src/content/map-entry-writer.ts';
import { MAP_HEADER_BYTES } from '../../../src/content/partial-map.ts';

interface Call {
  readonly position: number;
  readonly length: number;
  end(error?: Error): void;
}

/** A file whose writes end when the test says so. */
function slowFile(content: Buffer): { file: DiskFile; calls: Call[] } {
  const calls: Call[] = [];
  const write = async (bytes: Uint8Array, offset: number, length: number, position: number) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const end = (error?: Error): void => (error === undefined ? resolve() : reject(error));
    calls.push({ position, length, end });
    await promise;
    content.set(bytes.subarray(offset, offset + length), position);
    return { bytesWritten: length };
  };
  return { file: { write } as unknown as DiskFile, calls };
}

const ENTRIES = 1000;
const entry = (index: number): Buffer => Buffer.alloc(32, (index % 255) + 1);
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

function openWriter(): { writer: MapEntryWriter; calls: Call[]; content: Buffer } {
  const content = Buffer.alloc(MAP_HEADER_BYTES + ENTRIES * 32);
  const { file, calls } = slowFile(content);
  return { writer: new MapEntryWriter(file, Buffer.alloc(ENTRIES * 32)), calls, content };
}

test('entries that come while a write is under way go out together, and resolve only when they are written', async () => {
  const { writer, calls, content } = openWriter();
  const first = writer.write(0, entry(0));
  await turn();
  const resolved: number[] = [];
  const others = [1, 3, 2].map(async (index) => {
    await writer.write(index, entry(index));
    resolved.push(index);
  });
  await turn();
  expect(calls).toHaveLength(1);
  calls[0]?.end();
  await first;
  await turn();
  expect(resolved).toEqual([]);
  expect(calls.slice(1)).toMatchObject([{ position: MAP_HEADER_BYTES + 32, length: 96 }]);
  calls[1]?.end();
  await Promise.all(others);
  for (const index of [0, 1, 2, 3]) {
    const at = MAP_HEADER_BYTES + index * 32;
    expect(content.subarray(at, at + 32)).toEqual(entry(index));
  }
});

test('entries far apart are written by calls of their own, and nothing in between is touched', async () => {
  const { writer, calls, content } = openWriter();
  const both = [900, 5].map((index) => writer.write(index, entry(index)));
  await turn();
  calls[0]?.end();
  await turn();
  calls[1]?.end();
  await Promise.all(both);
  expect(calls.map(({ length }) => length)).toEqual([32, 32]);
  expect(content.subarray(MAP_HEADER_BYTES + 6 * 32, MAP_HEADER_BYTES + 900 * 32).every((byte) => byte === 0)).toBe(
    true,
  );
});

test('a write that fails is told to those whose entries were in it, and the next goes on', async () => {
  const { writer, calls, content } = openWriter();
  const failing = writer.write(7, entry(7));
  const failure = new Error('no space');
  const told = failing.then(
    () => undefined,
    (error: unknown) => error,
  );
  await turn();
  calls[0]?.end(failure);
  expect(await told).toBe(failure);
  const again = writer.write(7, entry(7));
  await turn();
  calls[1]?.end();
  await again;
  expect(content.subarray(MAP_HEADER_BYTES + 7 * 32, MAP_HEADER_BYTES + 8 * 32)).toEqual(entry(7));
});
