import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { gatherBlob, type OpenBlob } from '../../../../node/fetch/gather-blob.ts';
import { FetchProgress } from '../../../../node/fetch/progress.ts';
import { digestOf } from '../../../../src/oci/digest.ts';

const BYTES = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 251));
const WANTED = { digest: digestOf(BYTES), sizeBytes: BYTES.length };

let folder = '';
let paths = { part: '', final: '' };
let progress = new FetchProgress();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dockyard-gather-'));
  paths = { part: join(folder, 'part'), final: join(folder, 'sub/final') };
  progress = new FetchProgress();
});
afterEach(() => rmSync(folder, { recursive: true }));

/** An origin that gives `bytes`, and notes from where it was asked. */
function origin(bytes: Buffer, starts: number[] = [], failAtBytes = Infinity): OpenBlob {
  return async ({ start }) => {
    starts.push(start);
    async function* body(): AsyncGenerator<Buffer> {
      for (let at = start; at < bytes.length; at += 65_536) {
        if (at >= failAtBytes) throw new Error('the line broke');
        yield await Promise.resolve(bytes.subarray(at, at + 65_536));
      }
    }
    return await Promise.resolve({
      sizeBytes: bytes.length,
      body: body(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  };
}

describe('a blob is brought into a part', () => {
  test('and gets its name when it is whole', async () => {
    expect(await gatherBlob(WANTED, paths, origin(BYTES), progress)).toBe(true);
    expect(readFileSync(paths.final).equals(BYTES)).toBe(true);
    expect(existsSync(paths.part)).toBe(false);
    expect(progress).toMatchObject({ receivedBytes: BYTES.length, doneBytes: BYTES.length });
  });

  test('and what had come before the line broke is not asked for again', async () => {
    const starts: number[] = [];
    await expect(gatherBlob(WANTED, paths, origin(BYTES, starts, 2_000_000), progress)).rejects.toThrow('line broke');
    const keptBytes = readFileSync(paths.part).length;
    expect(keptBytes).toBeGreaterThanOrEqual(2_000_000);
    const again = new FetchProgress();
    expect(await gatherBlob(WANTED, paths, origin(BYTES, starts), again)).toBe(true);
    expect(starts).toEqual([0, keptBytes]);
    expect(again).toMatchObject({ receivedBytes: BYTES.length - keptBytes, doneBytes: BYTES.length });
  });

  test('and a part that was damaged meanwhile is begun anew, once', async () => {
    const damaged = Buffer.from(BYTES.subarray(0, 1_000_000));
    damaged[500_000] = 255;
    writeFileSync(paths.part, damaged);
    const starts: number[] = [];
    expect(await gatherBlob(WANTED, paths, origin(BYTES, starts), progress)).toBe(true);
    expect(starts).toEqual([1_000_000, 0]);
    expect(readFileSync(paths.final).equals(BYTES)).toBe(true);
    expect(progress.doneBytes).toBe(BYTES.length);
  });

  test.each([
    ['longer than the blob', Buffer.concat([BYTES, Buffer.alloc(10)])],
    ['as long as the blob, and whole', BYTES],
  ])('and a part that is %s is dealt with', async (_what, found) => {
    writeFileSync(paths.part, found);
    const starts: number[] = [];
    expect(await gatherBlob(WANTED, paths, origin(BYTES, starts), progress)).toBe(true);
    expect(starts).toEqual(found === BYTES ? [] : [0]);
    expect(readFileSync(paths.final).equals(BYTES)).toBe(true);
  });

  test('and false bytes are thrown away', async () => {
    const other = Buffer.alloc(BYTES.length, 1);
    await expect(gatherBlob(WANTED, paths, origin(other), progress)).rejects.toMatchObject({
      code: 'ERR_FETCH_MISMATCH',
    });
    expect([existsSync(paths.part), existsSync(paths.final), progress.doneBytes]).toEqual([false, false, 0]);
  });

  test('and an origin that tells another length is not listened to', async () => {
    const shorter = origin(BYTES.subarray(1));
    await expect(gatherBlob(WANTED, paths, shorter, progress)).rejects.toMatchObject({ code: 'ERR_FETCH_MISMATCH' });
    expect(existsSync(paths.part)).toBe(false);
  });

  test('and one that no origin has leaves nothing behind', async () => {
    expect(await gatherBlob(WANTED, paths, () => Promise.resolve(undefined), progress)).toBe(false);
    expect([existsSync(paths.part), existsSync(paths.final)]).toEqual([false, false]);
  });

  test('and an empty one too', async () => {
    const wanted = { digest: digestOf(Buffer.alloc(0)), sizeBytes: 0 };
    expect(await gatherBlob(wanted, paths, origin(Buffer.alloc(0)), progress)).toBe(true);
    expect(readFileSync(paths.final)).toHaveLength(0);
  });

  test('and never through a link to elsewhere', async () => {
    const elsewhere = join(folder, 'elsewhere');
    writeFileSync(elsewhere, 'mine');
    symlinkSync(elsewhere, paths.part);
    await expect(gatherBlob(WANTED, paths, origin(BYTES), progress)).rejects.toMatchObject({ code: 'ELOOP' });
    expect(readFileSync(elsewhere, 'utf8')).toBe('mine');
  });
});
