/** The store of a node as the place where a fetch puts things, and as one where it finds them. */
import type { OpenedContent } from '../../src/content/open-content.ts';
import { pieceRange, type PieceGeometry } from '../../src/content/geometry.ts';
import type { PartialBlob } from '../../src/content/blob-store.ts';
import type { ByteRange } from '../../src/oci/byte-range.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { ManifestReference } from '../../src/oci/name.ts';
import type { Repository } from '../../src/oci/repository.ts';
import type { OriginManifest } from '../../src/origin/origin-manifest.ts';
import { fetchError } from './errors.ts';
import type { ImageSource } from './fetch-image.ts';
import type { BlobReading, OpenBlob, WantedBlob } from './gather-blob.ts';
import type { ImagePlan, PlannedManifest } from './image-plan.ts';
import type { ImageSink } from './image-sink.ts';
import type { FetchProgress } from './progress.ts';

/** Where a tag is noted. */
interface StoreName {
  readonly repository: Repository;
  readonly reference: ManifestReference;
}

/** The store as a place for images. @see ImageSink */
export class StoreSink implements ImageSink {
  readonly place: string;
  readonly #content: OpenedContent;
  readonly #name: StoreName | undefined;

  /** @param content is not closed by the sink */
  constructor(content: OpenedContent, config: { readonly directory: string; readonly name?: StoreName | undefined }) {
    this.#content = content;
    this.place = config.directory;
    this.#name = config.name;
  }

  async heldManifest(digest: Digest): Promise<Buffer | undefined> {
    return (await this.#content.manifests.getManifest(digest))?.bytes;
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  holds({ digest }: WantedBlob): Promise<boolean> {
    return Promise.resolve(this.#content.blobs.stat(digest) !== undefined);
  }

  async gather(
    wanted: WantedBlob,
    openBlob: OpenBlob,
    progress: FetchProgress,
    options: { signal?: AbortSignal | undefined },
  ): Promise<boolean> {
    for (;;) {
      await using partial = await this.#content.blobs.openPartial(wanted.digest, wanted.sizeBytes);
      const keptCount = partial.held.count;
      progress.reused(heldBytes(partial));
      if (!(await fill(partial, openBlob, progress, options))) return false;
      if ((await partial.complete()) === 'complete') return true;
      progress.lost(wanted.sizeBytes);
      await partial.discard();
      if (keptCount === 0) throw fetchError('ERR_FETCH_MISMATCH', `what came is not ${wanted.digest}`);
    }
  }

  async putManifest({ digest, mediaType, bytes }: PlannedManifest): Promise<void> {
    await this.#content.manifests.putManifest({ digest, mediaType, bytes });
  }

  async finish({ top }: ImagePlan): Promise<void> {
    if (this.#name?.reference.kind !== 'tag') return;
    const { repository, reference } = this.#name;
    const { digest, mediaType, bytes } = top;
    const stored = { digest, mediaType, sizeBytes: bytes.length, checkedAtMs: Date.now() };
    await this.#content.manifests.putTag(repository, reference.tag, stored);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** The store as a place that images come from. */
export class StoreSource implements ImageSource {
  readonly #content: OpenedContent;

  /** @param content is not closed by the source */
  constructor(content: OpenedContent) {
    this.#content = content;
  }

  async fetchManifest(repository: Repository, reference: ManifestReference): Promise<OriginManifest | undefined> {
    const { manifests } = this.#content;
    const digest =
      reference.kind === 'digest' ? reference.digest : (await manifests.getTag(repository, reference.tag))?.digest;
    return digest === undefined ? undefined : await manifests.getManifest(digest);
  }

  statBlob(_repository: Repository, digest: Digest): Promise<{ sizeBytes: number } | undefined> {
    return Promise.resolve(this.#content.blobs.stat(digest));
  }

  async openBlob(
    _repository: Repository,
    digest: Digest,
    { range, signal }: { range: ByteRange; signal?: AbortSignal | undefined },
  ): Promise<BlobReading | undefined> {
    const held = await this.#content.blobs.open(digest);
    if (held === undefined) return undefined;
    const { sizeBytes } = held.geometry;
    const body = held.stream({ start: range.start, end: Math.min(range.end, sizeBytes) }, { signal });
    return { sizeBytes, body, [Symbol.asyncDispose]: () => held.close() };
  }
}

/** Fetches what is missing of a blob, one run of pieces after the other. @returns false when it is not to be had */
async function fill(
  partial: PartialBlob,
  openBlob: OpenBlob,
  progress: FetchProgress,
  options: { signal?: AbortSignal | undefined },
): Promise<boolean> {
  const { geometry, held } = partial;
  for (let first = held.firstClear(); first < geometry.pieceCount; first = held.firstClear(first)) {
    let end = first + 1;
    while (end < geometry.pieceCount && !held.has(end)) end += 1;
    const range = { start: pieceRange(geometry, first).start, end: pieceRange(geometry, end - 1).end };
    await using reading = await openBlob(range, options);
    if (reading === undefined) return false;
    if (reading.sizeBytes !== geometry.sizeBytes) {
      const told = `the origin tells ${reading.sizeBytes} bytes of ${partial.digest}`;
      throw fetchError('ERR_FETCH_MISMATCH', `${told}, and ${geometry.sizeBytes} are expected`);
    }
    await fillRun(partial, first, reading.body, progress, options.signal);
    if (held.firstClear(first) < end) {
      throw fetchError('ERR_FETCH_MISMATCH', `${partial.digest} ended before all of it had come`);
    }
  }
  return true;
}

async function fillRun(
  partial: PartialBlob,
  first: number,
  body: AsyncIterable<Uint8Array>,
  progress: FetchProgress,
  signal: AbortSignal | undefined,
): Promise<void> {
  let index = first;
  let piece = pieceBuffer(partial.geometry, index);
  let filled = 0;
  for await (const chunk of body) {
    signal?.throwIfAborted();
    for (let at = 0; at < chunk.length;) {
      const taken = Math.min(chunk.length - at, piece.length - filled);
      piece.set(chunk.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < piece.length) continue;
      await partial.writePiece(index, piece, await partial.hashPiece(piece));
      progress.received(piece.length);
      index += 1;
      if (index === partial.geometry.pieceCount) return;
      piece = pieceBuffer(partial.geometry, index);
      filled = 0;
    }
  }
}

/** Shared memory, so that the thread that hashes need not copy. */
function pieceBuffer(geometry: PieceGeometry, index: number): Buffer {
  const { start, end } = pieceRange(geometry, index);
  return Buffer.from(new SharedArrayBuffer(end - start));
}

function heldBytes({ geometry, held }: PartialBlob): number {
  let sum = 0;
  for (let index = 0; index < geometry.pieceCount; index += 1) {
    if (!held.has(index)) continue;
    const { start, end } = pieceRange(geometry, index);
    sum += end - start;
  }
  return sum;
}
