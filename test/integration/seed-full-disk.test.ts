/** A seed on a disk that is really full: a small tmpfs, which only root can mount. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { makeTemporaryDirectory, seededBytes, type TemporaryDirectory } from '../contract/blob-store-fixtures.ts';
import { requirement } from '../skip-reasons.ts';
import { NodeProcess } from '../support/node-process.ts';

const MIB = 1024 * 1024;
const DISK_BYTES = 24 * MIB;

async function canMount(): Promise<boolean> {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, 'disk');
  mkdirSync(path);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', path], { stdio: 'pipe' });
    execFileSync('umount', [path], { stdio: 'pipe' });
    return true;
  } catch {
    return false; // Not root, or in a container that may not mount: the reason is told by `requirement`.
  }
}

const mountable = requirement('a tmpfs of its own', await canMount(), 'run as root, where mounting is allowed');

describe.skipIf(!mountable)('a seed on a disk of 24 MiB', () => {
  let directory: TemporaryDirectory;
  let disk = '';
  beforeEach(async () => {
    directory = await makeTemporaryDirectory();
    disk = join(directory.path, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk], { stdio: 'pipe' });
  });
  afterEach(async () => {
    execFileSync('umount', [disk], { stdio: 'pipe' });
    await directory[Symbol.asyncDispose]();
  });

  test('refuses clearly what does not fit, keeps what it acknowledged, and an upload goes on when there is room', async () => {
    const ballast = join(disk, 'ballast');
    const { bavail, bsize } = await statfs(disk);
    await writeFile(ballast, Buffer.alloc(Math.floor((bavail * bsize) / 2)));
    await using seed = await NodeProcess.startSeed([
      '--data',
      join(disk, 'data'),
      '--push-names',
      '**',
      '--store-min-free-disk',
      '0',
    ]);
    const base = `http://${seed.facade}`;
    const kept: string[] = [];
    let refused: { bytes: Buffer; location: string; status: number; body: string } | undefined;
    for (let number = 1; refused === undefined && number < 20; number += 1) {
      const bytes = seededBytes(3 * MIB, number);
      const begun = await fetch(`${base}/v2/team/app/blobs/uploads/`, { method: 'POST' });
      const location = begun.headers.get('location') ?? '';
      const path = `${base}${location}?digest=${digestOf(bytes)}`;
      const answer = await fetch(path, { method: 'PUT', body: new Uint8Array(bytes) });
      if (answer.status === 201) kept.push(digestOf(bytes));
      else refused = { bytes, location, status: answer.status, body: await answer.text() };
    }
    expect(kept.length).toBeGreaterThan(0);
    expect(refused?.status).toBe(507);
    expect(refused?.body).toContain('the storage of this registry is full');
    for (const digest of kept) expect(await contentAt(`${base}/v2/team/app/blobs/${digest}`)).toBe(digest);
    await rm(ballast);
    const { bytes, location } = refused ?? { bytes: Buffer.alloc(0), location: '' };
    const status = await fetch(`${base}${location}`);
    expect(status.status).toBe(204);
    const last = Number(status.headers.get('range')?.slice(2));
    const rest = bytes.subarray(last === 0 ? 0 : last + 1);
    const done = await fetch(`${base}${location}?digest=${digestOf(bytes)}`, {
      method: 'PUT',
      body: new Uint8Array(rest),
    });
    expect(done.status).toBe(201);
    for (const digest of [...kept, digestOf(bytes)]) {
      expect(await contentAt(`${base}/v2/team/app/blobs/${digest}`)).toBe(digest);
    }
  });
});

async function contentAt(url: string): Promise<string> {
  const answer = await fetch(url);
  return answer.status === 200 ? digestOf(new Uint8Array(await answer.arrayBuffer())) : `status ${answer.status}`;
}
