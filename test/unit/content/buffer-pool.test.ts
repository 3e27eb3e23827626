import { expect, test } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';

const KIB = 1024;

test('a buffer that its last owner released is used again', () => {
  const pool = new BufferPool(1024 * KIB);
  const first = pool.acquire(64 * KIB);
  pool.release(first);
  expect(pool.acquire(64 * KIB).buffer).toBe(first.buffer);
});

test('a buffer with another owner is not used again', () => {
  const pool = new BufferPool(1024 * KIB);
  const first = pool.acquire(64 * KIB);
  pool.retain(first);
  pool.release(first);
  expect(pool.acquire(64 * KIB).buffer).not.toBe(first.buffer);
  pool.release(first.subarray(10, 20));
  expect(pool.acquire(64 * KIB).buffer).toBe(first.buffer);
});

test('a buffer that is released once too often does not get two owners', () => {
  const pool = new BufferPool(1024 * KIB);
  const first = pool.acquire(64 * KIB);
  pool.release(first);
  pool.release(first);
  expect(pool.freeBytes).toBe(64 * KIB);
  expect(pool.acquire(64 * KIB).buffer).not.toBe(pool.acquire(64 * KIB).buffer);
});

test('a shorter buffer has exactly the length that was asked for, whatever memory it stands on', () => {
  const pool = new BufferPool(1024 * KIB);
  pool.release(pool.acquire(128 * KIB));
  const short = pool.acquire(100 * KIB + 1);
  expect(short.length).toBe(100 * KIB + 1);
  expect(short.buffer.byteLength).toBe(128 * KIB);
});

test('beyond the limit memory is not shared and not kept, and foreign buffers are passed over', () => {
  const pool = new BufferPool(100 * KIB);
  const buffers = [pool.acquire(64 * KIB), pool.acquire(64 * KIB)];
  expect(buffers.map(({ buffer }) => buffer instanceof SharedArrayBuffer)).toEqual([true, false]);
  for (const buffer of buffers) pool.release(buffer);
  pool.release(Buffer.alloc(64 * KIB));
  expect(pool.freeBytes).toBe(64 * KIB);
});

test('free memory of one size does not keep another size from being had', () => {
  const pool = new BufferPool(100 * KIB);
  pool.release(pool.acquire(64 * KIB));
  expect(pool.acquire(128 * KIB)).toHaveLength(128 * KIB);
  expect(pool.freeBytes).toBe(0);
});
