/** What the index keeps of complete blobs: facts as JSON, piece hashes with a checksum. Nothing in it is believed blindly. */
import { hash } from 'node:crypto';
import type { Logger } from 'pino';
import { isDigest, type Digest } from '../oci/digest.ts';
import type { BlobStat } from './blob-store.ts';
import type { ContentIndex, IndexChange } from './content-index.ts';
import { PIECE_HASH_BYTES, type PieceGeometry } from './geometry.ts';
import { INDEX_PREFIX } from './layout.ts';
import type { StoreMetrics } from './store-metrics.ts';

const CHECKSUM_BYTES = 32;

export interface BlobRecordsDeps {
  readonly index: ContentIndex;
  readonly log: Logger;
  readonly metrics: StoreMetrics;
}

/** Reads and writes the blob part of the index. A write that fails is counted, and healed from the files at the next start. */
export class BlobRecords {
  readonly #deps: BlobRecordsDeps;

  constructor(deps: BlobRecordsDeps) {
    this.#deps = deps;
  }

  /** All facts that can be read; `undefined` for an entry that cannot. */
  async *load(): AsyncGenerator<[key: string, facts: BlobStat | undefined]> {
    for await (const [key, value] of this.#deps.index.entries(INDEX_PREFIX.blob)) yield [key, decodeFacts(key, value)];
  }

  /** Keeps the facts of blobs. */
  async save(facts: Iterable<BlobStat>): Promise<void> {
    await this.#write(Array.from(facts, factsChange));
  }

  /** Keeps the facts of a new blob, with its piece hashes where they are known. */
  async add(facts: BlobStat, pieceHashes: Buffer | undefined): Promise<void> {
    const changes = [factsChange(facts)];
    if (pieceHashes !== undefined) changes.push(piecesChange(facts.digest, pieceHashes));
    await this.#write(changes);
  }

  /** Forgets blobs, by their keys. */
  async remove(digests: Iterable<string>): Promise<void> {
    const changes: IndexChange[] = [];
    for (const digest of digests) {
      changes.push(
        { type: 'del', key: INDEX_PREFIX.blob + digest },
        { type: 'del', key: INDEX_PREFIX.pieces + digest },
      );
    }
    await this.#write(changes);
  }

  /** The piece hashes of a blob, or `undefined` when they are not there or were damaged. */
  async pieceHashes(digest: Digest, geometry: PieceGeometry): Promise<Buffer | undefined> {
    const value = await this.#deps.index.get(INDEX_PREFIX.pieces + digest);
    if (value?.length !== CHECKSUM_BYTES + geometry.pieceCount * PIECE_HASH_BYTES) return undefined;
    const hashes = value.subarray(CHECKSUM_BYTES);
    return hash('sha256', hashes, 'buffer').equals(value.subarray(0, CHECKSUM_BYTES)) ? hashes : undefined;
  }

  async savePieceHashes(digest: Digest, hashes: Buffer): Promise<void> {
    await this.#write([piecesChange(digest, hashes)]);
  }

  async #write(changes: IndexChange[]): Promise<void> {
    try {
      await this.#deps.index.write(changes);
    } catch (error) {
      this.#deps.metrics.countIndexFailure();
      this.#deps.log.warn({ err: error, changeCount: changes.length }, 'index entries not written');
    }
  }
}

function factsChange(facts: BlobStat): IndexChange {
  const { sizeBytes, addedAtMs, lastUsedAtMs, pinned } = facts;
  const value = Buffer.from(JSON.stringify({ sizeBytes, addedAtMs, lastUsedAtMs, pinned }));
  return { type: 'put', key: INDEX_PREFIX.blob + facts.digest, value };
}

function piecesChange(digest: Digest, hashes: Buffer): IndexChange {
  // LevelDB does not check its own checksums on reads, and a wrong hash here would make good pieces look false.
  const value = Buffer.concat([hash('sha256', hashes, 'buffer'), hashes]);
  return { type: 'put', key: INDEX_PREFIX.pieces + digest, value };
}

/** Reads facts; `undefined` when they are not what `factsChange` writes. */
function decodeFacts(key: string, value: Buffer): BlobStat | undefined {
  if (!isDigest(key)) return undefined;
  const parsed = parseJson(value);
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { sizeBytes, addedAtMs, lastUsedAtMs, pinned } = parsed as Partial<Record<keyof BlobStat, unknown>>;
  const numbersAreGood = isCount(sizeBytes) && isCount(addedAtMs) && isCount(lastUsedAtMs);
  if (!numbersAreGood || typeof pinned !== 'boolean') return undefined;
  return { digest: key, sizeBytes, addedAtMs, lastUsedAtMs, pinned };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

/** JSON of the index; `undefined` when it is damaged. */
export function parseJson(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString('utf8')) as unknown;
  } catch {
    return undefined; // The entry is made again by whoever needs it; what was there says nothing.
  }
}
