/**
 * Reads an app container image once, from its first byte to its last, and answers what it is. Nothing is unpacked to disk, and
 * memory is bounded whatever the image claims.
 */
import { createHash } from 'node:crypto';
import { appcError } from '../errors.ts';
import { imageIdOf, type ImageId } from '../values/image-id.ts';
import { MAX_IMAGE_MANIFEST_BYTES, parseImageManifest, type ImageManifest } from '../values/image-manifest.ts';
import { AciLayout, type LayoutLimits } from './aci-layout.ts';
import { ByteReader } from './byte-reader.ts';
import { decompress, detectCompression, MAGIC_BYTES, type Compression } from './compression.ts';
import { readTar, type TarEntry } from './tar-reader.ts';

/** How large an image may be. */
export interface AciLimits extends LayoutLimits {
  /** The file as it is transferred. */
  readonly maxSizeBytes: number;
  /** What it unpacks to. */
  readonly maxUnpackedBytes: number;
  /** How many times the size of the file it may unpack to, once it is larger than RATIO_FREE_BYTES. */
  readonly maxRatio: number;
}

/** What holds where nobody says otherwise. */
export const ACI_LIMITS: AciLimits = {
  maxSizeBytes: 16 * 1024 ** 3,
  maxUnpackedBytes: 64 * 1024 ** 3,
  maxRatio: 200,
  maxEntries: 500_000,
  maxPathBytes: 64 * 1024 ** 2,
};

/** Small images of much emptiness are no bombs. */
export const RATIO_FREE_BYTES = 64 * 1024 ** 2;

/** What an image is. */
export interface AciFacts {
  readonly imageId: ImageId;
  readonly compression: Compression;
  /** Of the file. */
  readonly sizeBytes: number;
  readonly unpackedBytes: number;
  readonly manifest: ImageManifest;
}

/** What is told of progress or of an end. */
export interface InspectOptions {
  readonly limits?: AciLimits | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Inspects an image; the source is read to its end.
 * @throws {DockyardError} ERR_ACI_INVALID, ERR_ACI_UNSAFE, ERR_ACI_TOO_LARGE, ERR_ACI_MANIFEST_INVALID; what the source throws
 */
export async function inspectAci(source: AsyncIterable<Uint8Array>, options: InspectOptions = {}): Promise<AciFacts> {
  const { limits = ACI_LIMITS, signal } = options;
  const packed = new ByteReader(source);
  const meter = new Meter(limits);
  try {
    const head = await packed.upTo(MAGIC_BYTES);
    const compression = detectCompression(head);
    const sha512 = createHash('sha512');
    const unpacked = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of decompress(meter.packed(packed, head, signal), compression)) {
        meter.addUnpacked(chunk.length);
        sha512.update(chunk);
        yield chunk;
      }
    };
    const manifest = await readLayout(unpacked(), limits);
    // A decoder may be done before its source is; that belongs to the file all the same.
    for (let rest = await packed.some(Infinity); rest !== undefined; rest = await packed.some(Infinity))
      meter.addPacked(rest.length);
    const { packedBytes: sizeBytes, unpackedBytes } = meter;
    return { imageId: imageIdOf(sha512.digest()), compression, sizeBytes, unpackedBytes, manifest };
  } finally {
    await packed.close();
  }
}

async function readLayout(archive: AsyncIterable<Uint8Array>, limits: LayoutLimits): Promise<ImageManifest> {
  const layout = new AciLayout(limits);
  let manifest: ImageManifest | undefined;
  for await (const entry of readTar(archive)) {
    if (layout.add(entry)) manifest = parseImageManifest(await manifestBytes(entry));
  }
  layout.finish();
  if (manifest === undefined) throw appcError('ERR_ACI_INVALID', 'this is no app container image: it has no manifest');
  return manifest;
}

async function manifestBytes(entry: TarEntry): Promise<Buffer> {
  if (entry.sizeBytes > MAX_IMAGE_MANIFEST_BYTES)
    throw appcError('ERR_ACI_TOO_LARGE', `the image manifest is larger than ${MAX_IMAGE_MANIFEST_BYTES} bytes`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of entry.content()) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

/** Counts both sides of the decompression and stops what grows too much. */
class Meter {
  readonly #limits: AciLimits;
  packedBytes = 0;
  unpackedBytes = 0;

  constructor(limits: AciLimits) {
    this.#limits = limits;
  }

  async *packed(reader: ByteReader, head: Buffer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    for (let chunk: Uint8Array | undefined = head; chunk !== undefined; chunk = await reader.some(Infinity)) {
      signal?.throwIfAborted();
      this.addPacked(chunk.length);
      yield chunk;
    }
  }

  addPacked(sizeBytes: number): void {
    this.packedBytes += sizeBytes;
    if (this.packedBytes > this.#limits.maxSizeBytes) throw tooLarge(`than ${this.#limits.maxSizeBytes} bytes`);
  }

  addUnpacked(sizeBytes: number): void {
    this.unpackedBytes += sizeBytes;
    const { maxRatio, maxUnpackedBytes } = this.#limits;
    if (this.unpackedBytes > maxUnpackedBytes) throw tooLarge(`than ${maxUnpackedBytes} bytes when it is unpacked`);
    if (this.unpackedBytes > RATIO_FREE_BYTES && this.unpackedBytes > this.packedBytes * maxRatio)
      throw tooLarge(`than ${maxRatio} times its file when it is unpacked`);
  }
}

function tooLarge(what: string): Error {
  return appcError('ERR_ACI_TOO_LARGE', `the image is larger ${what}, which is the limit`);
}
