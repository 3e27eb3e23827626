import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeProcessLock } from '../../../../node/fetch/process-lock.ts';

let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dockyard-lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** No process has this number: the kernel's limit lies below. */
const NO_PROCESS = 2 ** 30;

test('one holds it at a time, and what is released can be taken', async () => {
  const first = await takeProcessLock(path);
  expect(first).toBeDefined();
  expect(await takeProcessLock(path)).toBeUndefined();
  await first?.release();
  expect(readdirSync(folder)).toEqual([]);
  expect(await takeProcessLock(path)).toBeDefined();
});

test.each([
  ['of a process that is gone', `${NO_PROCESS} 123`],
  ['of a process whose number another one has by now', `${process.pid} 1`],
  ['that is damaged', 'nonsense'],
])('a lock %s is taken over', async (_what, content) => {
  writeFileSync(path, content);
  expect(await takeProcessLock(path)).toBeDefined();
  expect(readFileSync(path, 'utf8')).toMatch(new RegExp(`^${process.pid} `));
  expect(readdirSync(folder)).toEqual(['lock']);
});

test('a lock without a number is one that is being written, for some seconds', async () => {
  writeFileSync(path, '');
  expect(await takeProcessLock(path)).toBeUndefined();
  const before = Date.now() / 1000 - 60;
  utimesSync(path, before, before);
  expect(await takeProcessLock(path)).toBeDefined();
});

test('of several that find a lock of the dead, one gets it', async () => {
  writeFileSync(path, `${NO_PROCESS} 123`);
  const taken = await Promise.all(Array.from({ length: 8 }, () => takeProcessLock(path)));
  expect(taken.filter((lock) => lock !== undefined)).toHaveLength(1);
});
