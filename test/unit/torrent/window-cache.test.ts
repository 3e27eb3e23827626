import { describe, expect, test } from 'vitest';
import { WINDOW_BYTES, WindowCache } from '../../../src/torrent/window-cache.ts';

/** A cache with room for so many windows, and a disk that writes a letter into each. */
function cacheOf(count: number): { cache: WindowCache; read: (letter: string) => (offset: number) => Promise<void> } {
  const memory = new SharedArrayBuffer(count * WINDOW_BYTES);
  const read = (letter: string) => async (offset: number) => {
    Buffer.from(memory, offset, 4).fill(letter);
    await Promise.resolve();
  };
  return { cache: new WindowCache(memory), read };
}

describe('windows that are read ahead', () => {
  test('are read once, and found again when they are there', async () => {
    const { cache, read } = cacheOf(2);
    expect(cache.find('a')).toBeUndefined();
    const window = cache.begin('a', 4, read('a'));
    expect(cache.find('a')).toBe(window);
    expect(window?.isReady).toBe(false);
    await window?.reading;
    expect([window?.isReady, window?.bytes.toString()]).toEqual([true, 'aaaa']);
  });

  test('make room for others, the least recently used first', async () => {
    const { cache, read } = cacheOf(2);
    for (const key of ['a', 'b']) await cache.begin(key, 4, read(key))?.reading;
    cache.find('a');
    await cache.begin('c', 4, read('c'))?.reading;
    expect(cache.find('b')).toBeUndefined();
    expect(cache.find('a')?.bytes.toString()).toBe('aaaa');
    expect(cache.find('c')?.bytes.toString()).toBe('cccc');
  });

  test('stay while they are read, or someone still needs their bytes', async () => {
    const { cache, read } = cacheOf(2);
    const arrived = Promise.withResolvers<void>();
    const late = cache.begin('late', 4, async () => await arrived.promise);
    const needed = cache.begin('needed', 4, read('n'));
    await needed?.reading;
    const pinned = cache.pin(needed?.bytes.subarray(1, 2) ?? Buffer.alloc(0));
    expect(pinned).toBe(needed);
    expect(cache.begin('more', 4, read('m'))).toBeUndefined();
    arrived.resolve();
    await late?.reading;
    await cache.begin('more', 4, read('m'))?.reading;
    expect([cache.find('late'), cache.find('needed')]).toEqual([undefined, needed]);
    if (pinned !== undefined) cache.unpin(pinned);
    await cache.begin('other', 4, read('o'))?.reading;
    await cache.begin('another', 4, read('p'))?.reading;
    expect(cache.find('needed')).toBeUndefined();
  });

  test('that could not be read are tried again', async () => {
    const { cache, read } = cacheOf(1);
    const failed = cache.begin('a', 4, async () => await Promise.reject(new Error('no disk')));
    await expect(failed?.reading).rejects.toThrow('no disk');
    expect(cache.find('a')).toBeUndefined();
    await cache.begin('a', 4, read('a'))?.reading;
    expect(cache.find('a')?.bytes.toString()).toBe('aaaa');
  });

  test('are told from other memory', () => {
    const { cache } = cacheOf(1);
    expect([cache.owns(Buffer.alloc(4)), cache.pin(Buffer.alloc(4))]).toEqual([false, undefined]);
  });
});
