import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { NodeFile } from '../../../src/content/node-file.ts';

async function makePath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-node-file-'));
  onTestFinished(async () => await rm(folder, { recursive: true }));
  return join(folder, 'file');
}

test('what is written is read, at its place', async () => {
  const file = await NodeFile.open(await makePath(), 'wx+', 0o600);
  const bytes = randomBytes(1000);
  expect(await file.write(bytes, 10, 20, 100)).toEqual({ bytesWritten: 20 });
  expect(await file.writev([bytes.subarray(0, 5), bytes.subarray(7, 9)], 500)).toEqual({ bytesWritten: 7 });
  const read = Buffer.alloc(30);
  expect(await file.read(read, 3, 27, 100)).toEqual({ bytesRead: 27 });
  expect(read.subarray(3, 23)).toEqual(bytes.subarray(10, 30));
  expect(await file.read(read, 0, 30, 500)).toEqual({ bytesRead: 7 });
  expect(read.subarray(0, 7)).toEqual(Buffer.concat([bytes.subarray(0, 5), bytes.subarray(7, 9)]));
  await file.truncate(600);
  expect((await file.stat()).size).toBe(600);
  await file.sync();
  await file.close();
});

test('closing waits for the calls under way, and ends once', async () => {
  const path = await makePath();
  const file = await NodeFile.open(path, 'wx', 0o600);
  const bytes = randomBytes(4 * 1024 * 1024);
  const writing = Promise.all([0, 1, 2].map(async (at) => await file.write(bytes, 0, bytes.length, at * bytes.length)));
  const closings = Promise.all([file.close(), file.close()]);
  expect((await writing).map(({ bytesWritten }) => bytesWritten)).toEqual([bytes.length, bytes.length, bytes.length]);
  await closings;
  const again = await NodeFile.open(path, 'r', 0o600);
  expect((await again.stat()).size).toBe(3 * bytes.length);
  await again.close();
});

test('failures are those of the file system, and a closed file takes no calls', async () => {
  const path = await makePath();
  const made = await NodeFile.open(path, 'wx', 0o600);
  await made.close();
  const file = await NodeFile.open(path, 'r', 0o600);
  const bytes = Buffer.alloc(10);
  await expect(file.write(bytes, 0, 10, 0)).rejects.toMatchObject({ code: 'EBADF', syscall: 'write' });
  await expect(file.writev([bytes], 0)).rejects.toMatchObject({ code: 'EBADF', syscall: 'write' });
  await file.close();
  await expect(file.read(bytes, 0, 10, 0)).rejects.toMatchObject({ code: 'EBADF' });
});
