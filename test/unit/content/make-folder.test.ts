import { existsSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFolder } from '../../../src/content/make-folder.ts';
import { makeTemporaryDirectory } from '../../contract/blob-store-fixtures.ts';

test('a folder is made with all above it, and making it again is success', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, 'a/b/c');
  await makeFolder(path);
  await makeFolder(path);
  await makeFolder(`${path}/`);
  expect(statSync(path).isDirectory()).toBe(true);
});

test('many may make the same folders at once', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, 'a/b/c');
  await Promise.all(Array.from({ length: 20 }, (_, index) => makeFolder(join(path, String(index % 3)))));
  expect(statSync(join(path, '2')).isDirectory()).toBe(true);
});

test('a link to a folder counts as one, and a link to nowhere does not', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeFolder(join(directory.path, 'real'));
  symlinkSync('real', join(directory.path, 'good'));
  symlinkSync('nowhere', join(directory.path, 'bad'));
  await makeFolder(join(directory.path, 'good/below'));
  expect(existsSync(join(directory.path, 'real/below'))).toBe(true);
  await expect(makeFolder(join(directory.path, 'bad/below'))).rejects.toMatchObject({ code: 'EEXIST' });
});

test('a file in the way is named as what it is', async () => {
  await using directory = await makeTemporaryDirectory();
  writeFileSync(join(directory.path, 'file'), '');
  await expect(makeFolder(join(directory.path, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolder(join(directory.path, 'file/a/b'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

test.skipIf(!existsSync('/proc/self'))('where the system lets nothing be made, it ends with its error', async () => {
  await expect(makeFolder('/proc/dockyard')).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(makeFolder('/proc/dockyard/deep/below')).rejects.toMatchObject({ code: 'ENOENT' });
});
