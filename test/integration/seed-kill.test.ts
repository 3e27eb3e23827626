/** What a seed has acknowledged is there after `kill -9` at any moment, and uploads go on where they stood. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { makeTemporaryDirectory, seededBytes, type TemporaryDirectory } from '../contract/blob-store-fixtures.ts';
import { makeManifest, makePart } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';

const ROUNDS = 8;
const PUSHERS = 4;
const SEED = Number(process.env['TEST_SEED'] ?? 20_261_121);
const REPOSITORY = 'team/app';

/** What the seed has said is done. */
interface Acknowledged {
  readonly blobs: Map<Digest, number>;
  readonly tags: Map<string, Digest>;
  /** Uploads that were not finished: their bytes, and how many of them were acknowledged. */
  readonly uploads: Map<string, { readonly bytes: Buffer; offset: number }>;
  count: number;
}

let directory: TemporaryDirectory;
beforeAll(async () => {
  directory = await makeTemporaryDirectory();
});
afterAll(async () => await directory[Symbol.asyncDispose]());

/** Reads a document of the seed that was started again, which has to be there. */
async function documentAt<Document>(seed: NodeProcess, path: string): Promise<Document> {
  const answer = await fetch(`http://${seed.facade}/v2/${REPOSITORY}/${path}`);
  expect(answer.status).toBe(200);
  return (await answer.json()) as Document;
}

/** Sends a request; a connection that the kill broke is no answer. */
async function send(base: string, method: string, path: string, init: RequestInit = {}): Promise<Response | undefined> {
  try {
    const answer = await fetch(`http://${base}${path}`, { ...init, method });
    return answer;
  } catch {
    return undefined;
  }
}

/** A blob of a size that follows from its number: from empty to more than a MiB. */
function blobOf(number: number): Buffer {
  const sizes = [0, 100, 70_000, 512 * 1024, 1_400_001];
  return seededBytes(sizes[number % sizes.length] ?? 0, number + 1);
}

/** Pushes a blob in chunks, and notes what was acknowledged. */
async function pushBlob(base: string, bytes: Buffer, told: Acknowledged): Promise<boolean> {
  const digest = digestOf(bytes);
  const begun = await send(base, 'POST', `/v2/${REPOSITORY}/blobs/uploads/`);
  const location = begun?.headers.get('location') ?? '';
  if (begun?.status !== 202) return false;
  const upload = { bytes, offset: 0 };
  told.uploads.set(location, upload);
  const chunkBytes = 160_000;
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const body = bytes.subarray(at, at + chunkBytes);
    const answer = await send(base, 'PATCH', location, { body: new Uint8Array(body) });
    if (answer?.status !== 202) return false;
    upload.offset = at + body.length;
    told.count += 1;
  }
  const done = await send(base, 'PUT', `${location}?digest=${digest}`);
  if (done?.status !== 201) return false;
  told.uploads.delete(location);
  told.blobs.set(digest, bytes.length);
  told.count += 1;
  return true;
}

async function pushImage(base: string, number: number, told: Acknowledged): Promise<void> {
  const [config, layer] = [makePart({ image: number }), makePart(blobOf(number))];
  for (const { bytes } of [config, layer]) if (!(await pushBlob(base, bytes, told))) return;
  const manifest = makeManifest(config, [layer]);
  const headers = { 'content-type': MEDIA_TYPES.ociManifest };
  const path = `/v2/${REPOSITORY}/manifests/t${number}`;
  const answer = await send(base, 'PUT', path, { body: new Uint8Array(manifest.bytes), headers });
  if (answer?.status !== 201) return;
  told.tags.set(`t${number}`, manifest.digest);
  told.count += 1;
}

/** Pushes images until the seed has acknowledged so many steps, and kills it there, with others under way. */
async function pushAndKill(seed: NodeProcess, first: number, steps: number, told: Acknowledged): Promise<void> {
  told.count = 0;
  let next = first;
  const push = async (): Promise<void> => {
    while (seed.child.exitCode === null && seed.child.signalCode === null) {
      await pushImage(seed.facade, (next += 1), told);
      if (told.count >= steps) seed.child.kill('SIGKILL');
    }
  };
  await Promise.all(Array.from({ length: PUSHERS }, push));
  await seed.exited();
}

async function hashAt(base: string, path: string): Promise<string> {
  const answer = await send(base, 'GET', path);
  if (answer?.status !== 200) return `status ${answer?.status}`;
  return `sha256:${createHash('sha256')
    .update(new Uint8Array(await answer.arrayBuffer()))
    .digest('hex')}`;
}

async function expectAt(seed: NodeProcess, path: string, digest: Digest): Promise<void> {
  expect(await hashAt(seed.facade, `/v2/${REPOSITORY}/${path}`)).toBe(digest);
}

async function check(seed: NodeProcess, told: Acknowledged): Promise<void> {
  await Promise.all([
    ...[...told.blobs.keys()].map(async (digest) => expectAt(seed, `blobs/${digest}`, digest)),
    ...[...told.tags].map(async ([tag, digest]) => expectAt(seed, `manifests/${tag}`, digest)),
  ]);
  // A tag of which the seed had no time to tell is whole, if it is there.
  const { tags } = await documentAt<{ tags: string[] }>(seed, 'tags/list');
  for (const tag of tags.filter((name) => !told.tags.has(name))) {
    const { layers } = await documentAt<{ layers: { digest: string }[] }>(seed, `manifests/${tag}`);
    for (const { digest } of layers) {
      expect(await hashAt(seed.facade, `/v2/${REPOSITORY}/blobs/${digest}`)).toBe(digest);
    }
  }
}

/** Finishes what was under way, from where the seed says that it stands. @returns how many went on */
async function resume(seed: NodeProcess, told: Acknowledged): Promise<number> {
  let resumed = 0;
  for (const [location, { bytes, offset }] of told.uploads) {
    const status = await send(seed.facade, 'GET', location);
    const digest = digestOf(bytes);
    // It may have been finished without the time to say so; then the blob is there, or can be pushed anew.
    if (status?.status === 404) continue;
    expect(status?.status).toBe(204);
    const last = Number(status?.headers.get('range')?.slice(2));
    const at = last === 0 ? 0 : last + 1;
    expect(at).toBeGreaterThanOrEqual(offset);
    const put = await send(seed.facade, 'PUT', `${location}?digest=${digest}`, {
      body: new Uint8Array(bytes.subarray(at)),
    });
    expect(put?.status).toBe(201);
    told.blobs.set(digest, bytes.length);
    if (at > 0) resumed += 1;
  }
  told.uploads.clear();
  return resumed;
}

test(
  `a seed that is killed at ${ROUNDS} random moments of pushes has all that it acknowledged (seed ${SEED})`,
  { timeout: 240_000 },
  async () => {
    const told: Acknowledged = { blobs: new Map(), tags: new Map(), uploads: new Map(), count: 0 };
    const moments = seededBytes(ROUNDS * 2, SEED);
    const args = ['--data', directory.path, '--push-names', '**'];
    let resumed = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      {
        await using seed = await NodeProcess.startSeed(args);
        if (round > 0) await check(seed, told);
        resumed += await resume(seed, told);
        await pushAndKill(seed, round * 1000, 3 + (moments.readUInt16LE(round * 2) % 60), told);
      }
    }
    await using seed = await NodeProcess.startSeed(args);
    await check(seed, told);
    expect(told.tags.size).toBeGreaterThan(ROUNDS);
    expect(resumed).toBeGreaterThan(0);
  },
);
