import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Level } from 'level';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { nodeDisk } from '../../../src/content/disk.ts';
import { openContent, type ContentConfig, type OpenedContent } from '../../../src/content/open-content.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { Tag } from '../../../src/oci/name.ts';
import {
  contentIn,
  makeBlob,
  makeTemporaryDirectory,
  nameOf,
  tickingClock,
} from '../../contract/blob-store-fixtures.ts';
import { makeManifest, repository } from '../../contract/manifest-store.ts';

async function openIn(directory: string, config: Partial<ContentConfig> = {}): Promise<OpenedContent> {
  return await openContent(
    { clock: tickingClock(), log: pino({ level: 'silent' }), metrics: new Registry() },
    { directory, maxSizeBytes: Infinity, minFreeDiskBytes: 0, maxManifestBytes: 1e6, maxTags: 1000, ...config },
  );
}

const alpine = repository('docker.io', 'library/alpine');
const latest = 'latest' as Tag;

test('blobs, manifests and tags are all there after opening again', async () => {
  await using directory = await makeTemporaryDirectory();
  const [blob, manifest] = [makeBlob(1000), makeManifest(100)];
  const answer = { digest: manifest.digest, mediaType: manifest.mediaType, sizeBytes: 100, checkedAtMs: 5 };
  {
    await using content = await openIn(directory.path);
    await content.blobs.put(blob.digest, blob.bytes);
    await content.manifests.putManifest(manifest);
    await content.manifests.putTag(alpine, latest, answer);
    await content.close();
  }
  await using content = await openIn(directory.path);
  expect(nameOf(await contentIn(content.blobs, blob.digest))).toBe(nameOf(blob.bytes));
  expect(await content.manifests.getManifest(manifest.digest)).toEqual(manifest);
  expect(await content.manifests.getTag(alpine, latest)).toEqual(answer);
});

test('limits that became lower are met at opening', async () => {
  await using directory = await makeTemporaryDirectory();
  const manifests = [makeManifest(100, 'a'), makeManifest(100, 'b')] as const;
  {
    await using content = await openIn(directory.path);
    for (const manifest of manifests) await content.manifests.putManifest(manifest);
  }
  await using content = await openIn(directory.path, { maxManifestBytes: 150 });
  expect(await content.manifests.getManifest(manifests[0].digest)).toBeUndefined();
  expect(await content.manifests.getManifest(manifests[1].digest)).toEqual(manifests[1]);
});

test('a manifest or tag that was damaged in the index counts as not kept', async () => {
  await using directory = await makeTemporaryDirectory();
  const manifest = makeManifest(100);
  {
    await using content = await openIn(directory.path);
    await content.manifests.putManifest(manifest);
    await content.manifests.putTag(alpine, latest, {
      digest: manifest.digest,
      mediaType: 'a/b',
      sizeBytes: 1,
      checkedAtMs: 1,
    });
  }
  {
    const level = new Level(join(directory.path, 'index'));
    await level.put(`d!${manifest.digest}`, 'other bytes');
    await level.put('t!docker.io\0library/alpine\0latest', '{"digest":"../../etc/passwd"}');
    await level.close();
  }
  await using content = await openIn(directory.path);
  expect(await content.manifests.getManifest(manifest.digest)).toBeUndefined();
  expect(await content.manifests.getTag(alpine, latest)).toBeUndefined();
  await content.manifests.putManifest(manifest);
  expect(await content.manifests.getManifest(manifest.digest)).toEqual(manifest);
});

test('a second process is kept out, and what was opened is closed when the opening fails', async () => {
  await using directory = await makeTemporaryDirectory();
  const content = await openIn(directory.path);
  await expect(openIn(directory.path)).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' });
  await content.close();
  await using again = await openIn(directory.path);
  expect((await again.blobs.usage()).blobCount).toBe(0);
});

test.each([
  ['ENOTDIR', 'a part of the path is a file', 'ERR_STORE_IO'],
  ['EROFS', 'the file system is read-only', 'ERR_STORE_IO'],
  ['EACCES', 'may not write there', 'ERR_STORE_IO'],
  ['ENOSPC', 'its disk is full', 'ERR_STORE_FULL'],
])('a data folder that the system refuses with %s is told with what to do', async (code, words, expected) => {
  const refused = Object.assign(new Error(`${code}: refused`), { code });
  const disk = { ...nodeDisk, makeFolder: () => Promise.reject(refused) };
  const opening = openContent(
    { clock: tickingClock(), log: pino({ level: 'silent' }), metrics: new Registry(), disk },
    {
      directory: '/somewhere/data',
      maxSizeBytes: Infinity,
      minFreeDiskBytes: 0,
      maxManifestBytes: 1e6,
      maxTags: 1000,
    },
  );
  await expect(opening).rejects.toMatchObject({ code: expected, message: expect.stringContaining(words) as string });
  await expect(opening).rejects.toThrow('/somewhere/data');
});

test('a file in place of a folder of the store is told with what to do', async () => {
  await using directory = await makeTemporaryDirectory();
  await (await openIn(directory.path)).close();
  const blobs = join(directory.path, 'content', 'blobs');
  rmSync(blobs, { recursive: true });
  writeFileSync(blobs, '');
  await expect(openIn(directory.path)).rejects.toMatchObject({
    code: 'ERR_STORE_IO',
    message: expect.stringContaining('EEXIST: a file stands where a folder is needed') as string,
  });
});

test('limits that are lowered while it is open are met at once', async () => {
  await using directory = await makeTemporaryDirectory();
  await using content = await openIn(directory.path);
  const [small, large] = [Buffer.alloc(100, 1), Buffer.alloc(1000, 2)];
  await content.blobs.put(digestOf(small), small);
  await content.blobs.put(digestOf(large), large);
  const manifests = [makeManifest(100), makeManifest(200)];
  for (const manifest of manifests) await content.manifests.putManifest(manifest);
  await content.setLimits({ maxSizeBytes: 1050, minFreeDiskBytes: 0, maxManifestBytes: 250 });
  expect([content.blobs.stat(digestOf(small)), (await content.blobs.usage()).maxSizeBytes]).toEqual([undefined, 1050]);
  const kept = await Promise.all(manifests.map(async ({ digest }) => await content.manifests.getManifest(digest)));
  expect(kept.map((manifest) => manifest !== undefined)).toEqual([false, true]);
  await content.setLimits({ maxSizeBytes: 2000, minFreeDiskBytes: Number.MAX_SAFE_INTEGER, maxManifestBytes: 250 });
  expect((await content.blobs.usage()).blobCount).toBe(0);
});
