/** Blobs and temporary stores for tests of the content store. */
import { hash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { BlobStore, HeldBlob, PartialBlob } from '../../src/content/blob-store.ts';
import { FsBlobStore, type FsBlobStoreConfig, type FsBlobStoreDeps } from '../../src/content/fs-blob-store.ts';
import { pieceGeometry, pieceRange } from '../../src/content/geometry.ts';
import { digestOf, type Digest, type DigestAlgorithm } from '../../src/oci/digest.ts';

/** A blob with its pieces, as a test needs it. */
export interface TestBlob {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly pieces: readonly { readonly index: number; readonly bytes: Buffer; readonly hash: Buffer }[];
}

/** Bytes that follow from `seed` alone, by a 32-bit xorshift generator. */
export function seededBytes(sizeBytes: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0 || 1;
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return Buffer.from(words.buffer, 0, sizeBytes);
}

/** Cuts bytes into the pieces of a blob. */
export function blobOf(bytes: Buffer, algorithm: DigestAlgorithm = 'sha256'): TestBlob {
  const geometry = pieceGeometry(bytes.length);
  const pieces = Array.from({ length: geometry.pieceCount }, (_, index) => {
    const { start, end } = pieceRange(geometry, index);
    const piece = bytes.subarray(start, end);
    return { index, bytes: piece, hash: hash('sha256', piece, 'buffer') };
  });
  return { digest: digestOf(bytes, algorithm), bytes, pieces };
}

/** A blob whose bytes follow from its size and `seed`. */
export function makeBlob(sizeBytes: number, seed = 1, algorithm: DigestAlgorithm = 'sha256'): TestBlob {
  return blobOf(seededBytes(sizeBytes, seed), algorithm);
}

/** The hashes of all pieces, in order. */
export function allHashes(blob: TestBlob): Buffer {
  return Buffer.concat(blob.pieces.map((piece) => piece.hash));
}

/** Writes all pieces that are not yet held. */
export async function fill(partial: PartialBlob, blob: TestBlob): Promise<void> {
  await Promise.all(blob.pieces.map(async (piece) => await partial.writePiece(piece.index, piece.bytes, piece.hash)));
}

/** Gathers a blob from its pieces and publishes it. */
export async function gather(store: BlobStore, blob: TestBlob): Promise<void> {
  await using partial = await store.openPartial(blob.digest, blob.bytes.length);
  await fill(partial, blob);
  const outcome = await partial.complete();
  if (outcome !== 'complete') throw new Error(`the blob came out as a ${outcome}`);
}

/** All items of an async iterable. */
export async function listAll<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** All that a stream gives. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await listAll(chunks));
}

/** A short name for bytes: comparing names is quicker, and easier to read when it fails, than comparing megabytes. */
export function nameOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'no bytes' : `${bytes.length} bytes ${digestOf(bytes)}`;
}

/** The whole content of an open blob, by its stream. */
export async function contentOf(blob: HeldBlob): Promise<Buffer> {
  return await collect(blob.stream({ start: 0, end: blob.geometry.sizeBytes }));
}

/** The content of a blob that a store holds; `undefined` when it does not. */
export async function contentIn(store: BlobStore, digest: Digest): Promise<Buffer | undefined> {
  await using blob = await store.open(digest);
  return blob === undefined ? undefined : await contentOf(blob);
}

/** A clock that moves by a second whenever it is read, so that the order of use is sure. */
export function tickingClock(): { nowMs(): number } {
  let nowMs = 1_700_000_000_000;
  return { nowMs: () => (nowMs += 1000) };
}

/** A directory of its own, removed when disposed. */
export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
}

export async function makeTemporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'dockyard-content-'));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

/** Opens a store on disk with quiet defaults. */
export async function openFsStore(
  directory: string,
  config: Partial<FsBlobStoreConfig> = {},
  deps: Partial<FsBlobStoreDeps> = {},
): Promise<FsBlobStore> {
  return await FsBlobStore.open(
    { clock: tickingClock(), log: pino({ level: 'silent' }), metrics: new Registry(), ...deps },
    { directory, maxSizeBytes: Infinity, minFreeDiskBytes: 0, ...config },
  );
}
