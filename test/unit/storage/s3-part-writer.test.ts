import { describe, expect, test } from 'vitest';
import { PartMemory } from '../../../src/storage/part-memory.ts';
import { S3PartWriter } from '../../../src/storage/s3-part-writer.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';

const PART = 1000;

interface PutPart {
  readonly number: number;
  readonly bytes: Buffer;
  readonly memory: ArrayBufferLike;
}

/** A service that keeps what it is given, and looks at it only when it is told to. */
function slowService(): { put: PutPart[]; finish: () => void; putPart: (n: number, body: Buffer) => Promise<never> } {
  const put: PutPart[] = [];
  let waiting: (() => void)[] = [];
  return {
    put,
    finish: () => {
      for (const resume of waiting) resume();
      waiting = [];
    },
    putPart: async (number, body) => {
      await new Promise<void>((resolve) => void waiting.push(resolve));
      put.push({ number, bytes: Buffer.from(body), memory: body.buffer });
      return { number, etag: String(number), sizeBytes: body.length } as never;
    },
  };
}

describe('a part writer', () => {
  test('is done with a chunk when it has taken it, and stores what was in it', async () => {
    const service = slowService();
    const memory = new PartMemory({ memoryBytes: 4 * PART, partSizeBytes: PART });
    const writer = new S3PartWriter({ memory, putPart: service.putPart }, { firstNumber: 1, partSizeBytes: PART }, {});
    const bytes = seededBytes(3 * PART + 250, 1);
    const ended = (async () => {
      for (let at = 0; at < bytes.length; at += 300) {
        const chunk = new Uint8Array(bytes.subarray(at, at + 300));
        await writer.write(chunk);
        chunk.fill(0);
        chunk.buffer.transfer(0);
      }
      return await writer.finish();
    })();
    await expect.poll(() => (service.finish(), service.put.length)).toBe(3);
    const { parts, rest, failure } = await ended;
    writer.release();
    expect([parts.map(({ number }) => number), failure]).toEqual([[1, 2, 3], undefined]);
    const stored = service.put.toSorted((left, right) => left.number - right.number).map((part) => part.bytes);
    expect(Buffer.concat([...stored, rest ?? Buffer.alloc(0)])).toEqual(bytes);
  });

  test('uses the memory of a part again, for all uploads together', async () => {
    const memory = new PartMemory({ memoryBytes: 2 * PART, partSizeBytes: PART });
    const seen = new Set<ArrayBufferLike>();
    for (let upload = 0; upload < 5; upload += 1) {
      const putPart = async (number: number, body: Buffer): Promise<never> => {
        seen.add(body.buffer);
        return await Promise.resolve({ number, etag: '', sizeBytes: body.length } as never);
      };
      const writer = new S3PartWriter({ memory, putPart }, { firstNumber: 1, partSizeBytes: PART }, {});
      await writer.write(seededBytes(4 * PART, upload));
      await writer.finish();
      writer.release();
    }
    expect(seen.size).toBeLessThanOrEqual(2);
  });

  test('waits for memory before the first byte of a part, and gives up when the client does', async () => {
    const memory = new PartMemory({ memoryBytes: 2 * PART, partSizeBytes: PART });
    const held = [await memory.acquire(PART, {}), await memory.acquire(PART, {})];
    const leaving = new AbortController();
    const putPart = slowService().putPart;
    const writer = new S3PartWriter(
      { memory, putPart },
      { firstNumber: 1, partSizeBytes: PART },
      { signal: leaving.signal },
    );
    const written = writer.write(seededBytes(10, 1));
    leaving.abort(new Error('the client left'));
    await expect(written).rejects.toThrow('the client left');
    for (const part of held) part.release();
    expect((await memory.acquire(PART, {})).bytes).toHaveLength(PART);
  });

  test('gathers parts of another size for uploads that an earlier process began', async () => {
    const memory = new PartMemory({ memoryBytes: 2 * PART, partSizeBytes: PART });
    const [other, usual] = [await memory.acquire(70, {}), await memory.acquire(PART, {})];
    expect([other.bytes.length, usual.bytes.length]).toEqual([70, PART]);
    other.release();
    expect((await memory.acquire(PART, {})).bytes).toHaveLength(PART);
  });
});
