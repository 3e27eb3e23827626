import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FolderStorage, partPath } from '../../../src/torrent/folder-storage.ts';
import { makeTorrent } from '../../../src/torrent/make-torrent.ts';
import { infoOf, memoryFile } from './metainfo-fixtures.ts';

describe('a torrent in a folder', () => {
  let folder = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'torrent-folder-'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  test('lies beside its place until it is complete', async () => {
    const bytes = Buffer.from('what it is');
    const target = join(folder, 'new', 'file');
    const storage = await FolderStorage.open(await infoOf('file', bytes), target);
    expect(storage.isEmpty).toBe(true);
    await storage.write(0, bytes);
    await expect(readFile(target)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readFile(partPath(target))).toEqual(bytes);
    await storage.complete();
    expect(await readFile(target)).toEqual(bytes);
    expect(Buffer.from(await storage.read({ start: 5, end: 7 })).toString()).toBe('it');
  });

  test('is written over the borders of its files', async () => {
    const files = [
      memoryFile(['a'], Buffer.from('aaa')),
      memoryFile(['empty'], Buffer.alloc(0)),
      memoryFile(['b', 'c'], Buffer.from('cc')),
    ];
    const info = await makeTorrent({ name: 'n', files, isSingleFile: false });
    const target = join(folder, 'n');
    const storage = await FolderStorage.open(info, target);
    await storage.write(0, Buffer.from('aaacc'));
    await storage.complete();
    expect(await readFile(join(target, 'a'), 'utf8')).toBe('aaa');
    expect(await readFile(join(target, 'b', 'c'), 'utf8')).toBe('cc');
    expect(await readFile(join(target, 'empty'), 'utf8')).toBe('');
    expect(Buffer.from(await storage.read({ start: 2, end: 4 })).toString()).toBe('ac');
  });

  test('does not write through a link', async () => {
    const outside = join(folder, 'outside');
    await writeFile(outside, 'precious');
    const target = join(folder, 'target');
    await symlink(outside, partPath(target));
    const opening = FolderStorage.open(await infoOf('target', Buffer.alloc(3)), target);
    await expect(opening).rejects.toMatchObject({ code: 'ERR_TORRENT_FAILED' });
    expect(await readFile(outside, 'utf8')).toBe('precious');
  });

  test('says what is in its way', async () => {
    const info = await infoOf('file', Buffer.alloc(3));
    await mkdir(partPath(join(folder, 'file')));
    await expect(FolderStorage.open(info, join(folder, 'file'))).rejects.toMatchObject({ code: 'ERR_TORRENT_FAILED' });
    await writeFile(join(folder, 'plain'), '');
    await expect(FolderStorage.open(info, join(folder, 'plain', 'file'))).rejects.toMatchObject({
      code: 'ERR_TORRENT_FAILED',
    });
  });
});
