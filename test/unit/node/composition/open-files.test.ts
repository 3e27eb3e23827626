/** How the limit of open files bounds the connections of clients. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectionsWithin, openFileLimit } from '../../../../node/composition/open-files.ts';
import { makeTemporaryDirectory } from '../../../contract/blob-store-fixtures.ts';
import { captureLog } from '../../../integration/swarm-fixtures.ts';

test('clients get half of the files, and no more than is set', () => {
  const { log, lines } = captureLog();
  expect(connectionsWithin(65_536, 4096, log)).toBe(4096);
  expect(connectionsWithin(4000, 4096, log)).toBe(2000);
  expect(connectionsWithin(undefined, 4096, log)).toBe(4096);
  expect(lines).toEqual([]);
});

test('an operator is told of a low limit', () => {
  const { log, lines } = captureLog();
  expect(connectionsWithin(256, 4096, log)).toBe(128);
  expect(lines).toEqual([expect.objectContaining({ level: 40, limit: 256, clientConnections: 128 })]);
  expect(lines[0]?.['msg']).toMatch(/LimitNOFILE=65536/);
});

test('the limit is read as the kernel tells it', async () => {
  await using folder = await makeTemporaryDirectory();
  const path = join(folder.path, 'limits');
  const head = 'Limit                     Soft Limit           Hard Limit           Units     \n';
  await writeFile(path, `${head}Max processes             7                    7                    processes \n`);
  expect(openFileLimit(path)).toBeUndefined();
  await writeFile(path, `${head}Max open files            1024                 4096                 files     \n`);
  expect(openFileLimit(path)).toBe(1024);
  await writeFile(path, `${head}Max open files            unlimited            unlimited            files     \n`);
  expect(openFileLimit(path)).toBeUndefined();
  expect(openFileLimit(join(folder.path, 'nowhere'))).toBeUndefined();
});
