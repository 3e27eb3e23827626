/**
 * All partial blobs of a store, open or closed.
 *
 * What a closed one holds is known for sure while this process lives. After a restart it is known when it is opened:
 * its pieces are then hashed on the worker thread and compared with its map. So a start does not wait for many GiB.
 */
import type { BufferPool } from './buffer-pool.ts';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { digestAlgorithm, type Digest } from '../oci/digest.ts';
import { Bitfield } from './bitfield.ts';
import type { Disk } from './disk.ts';
import { contentError, isAbsentError } from './errors.ts';
import { bytesOfPieces, FsPartialBlob } from './fs-partial-blob.ts';
import { pieceGeometry, type PieceGeometry } from './geometry.ts';
import type { HashThread } from './hash-thread.ts';
import { KeyedLock } from './keyed-lock.ts';
import { fileSafeDigest, type StoreLayout } from './layout.ts';
import { claimedPieces, openPartialFiles, readPartialMap, type PartialFiles } from './partial-files.ts';
import type { Eviction, StoreSpace } from './store-space.ts';

/** One partial blob, open or not. */
interface PartialRecord {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  heldBytes: number;
  heldCount: number;
  open: boolean;
  blob: FsPartialBlob | undefined;
  /** What is held, when it was written by this process; otherwise only the map says so, and it has to be checked. */
  known: Bitfield | undefined;
}

export interface PartialShelfDeps {
  readonly memory: BufferPool;
  readonly disk: Disk;
  readonly layout: StoreLayout;
  readonly hashes: HashThread;
  readonly log: Logger;
  /** Moves the data file of a partial blob among the complete ones. */
  readonly publish: (digest: Digest, sizeBytes: number, dataPath: string, pieceHashes: Buffer) => Promise<void>;
}

/** The partial blobs of one store. */
export class PartialShelf {
  readonly #deps: PartialShelfDeps;
  /** Closed ones in the order in which they were last used, oldest first; open ones anywhere. */
  readonly #records = new Map<Digest, PartialRecord>();
  readonly #locks = new KeyedLock<Digest>();
  readonly #opening = new Set<Promise<FsPartialBlob>>();
  #totalBytes = 0;
  #closed = false;

  constructor(deps: PartialShelfDeps) {
    this.#deps = deps;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  get count(): number {
    return this.#records.size;
  }

  /** Finds what an earlier process left, and removes what cannot be used. Reads the maps, never the data. */
  async load(): Promise<void> {
    const { disk, layout, log } = this.#deps;
    const found: { record: PartialRecord; usedAtMs: number }[] = [];
    for (const name of await disk.list(layout.partialFolder)) {
      const folder = join(layout.partialFolder, name);
      const loaded = await this.#loadOne(folder, name);
      if (loaded !== undefined) {
        found.push(loaded);
        continue;
      }
      log.debug({ folder }, 'unusable partial blob removed');
      await disk.removeTree(folder);
    }
    for (const { record } of found.toSorted((a, b) => a.usedAtMs - b.usedAtMs)) {
      this.#records.set(record.digest, record);
      this.#totalBytes += record.heldBytes;
    }
  }

  /** Opens a partial blob; see `BlobStore.openPartial`. */
  async open(digest: Digest, sizeBytes: number, space: StoreSpace): Promise<FsPartialBlob> {
    const earlier = this.#records.get(digest);
    if (this.#closed) throw contentError('ERR_STORE_CLOSED', 'the content store is closed');
    if (earlier?.open === true) throw contentError('ERR_PARTIAL_BUSY', `${digest} is being gathered already`);
    const usable = earlier?.geometry.sizeBytes === sizeBytes;
    const record = usable ? earlier : newRecord(digest, pieceGeometry(sizeBytes));
    // From here on nobody else opens or evicts it, though nothing has been waited for yet.
    record.open = true;
    if (earlier !== undefined && !usable) this.#count(earlier, -earlier.heldBytes, -earlier.heldCount);
    this.#records.set(digest, record);
    const opening = this.#locks.run(digest, async () => await this.#openLocked(record, !usable, space));
    this.#opening.add(opening);
    try {
      return await opening;
    } catch (error) {
      record.open = false;
      if (record.heldCount === 0) await this.#forget(record);
      throw error;
    } finally {
      this.#opening.delete(opening);
    }
  }

  *list(): Generator<{ digest: Digest; geometry: PieceGeometry; heldCount: number }> {
    for (const { digest, geometry, heldCount } of this.#records.values()) yield { digest, geometry, heldCount };
  }

  /** Chooses the closed partial blob that was used least recently, to make room. */
  evictOne(): Eviction | undefined {
    for (const record of this.#records.values()) {
      if (record.open) continue;
      const sizeBytes = record.heldBytes;
      return { sizeBytes, done: this.#forget(record) };
    }
    return undefined;
  }

  /** Closes all that is open and keeps it. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#opening);
    await Promise.all(Array.from(this.#records.values(), async (record) => await record.blob?.close()));
  }

  async #loadOne(folder: string, name: string): Promise<{ record: PartialRecord; usedAtMs: number } | undefined> {
    try {
      const found = await readPartialMap(this.#deps.disk, folder);
      if (found === undefined || fileSafeDigest(found.header.digest) !== name) return undefined;
      const { digest, geometry } = found.header;
      const claimed = claimedPieces(geometry, found.body);
      if (claimed.count === 0) return undefined;
      const record = newRecord(digest, geometry);
      record.heldCount = claimed.count;
      record.heldBytes = bytesOfPieces(geometry, claimed);
      return { record, usedAtMs: found.writtenAtMs };
    } catch (error) {
      if (isAbsentError(error)) return undefined;
      throw contentError('ERR_STORE_IO', `the partial blob ${folder} could not be read`, { cause: error });
    }
  }

  async #openLocked(record: PartialRecord, anew: boolean, space: StoreSpace): Promise<FsPartialBlob> {
    const { disk, layout } = this.#deps;
    const folder = layout.partialBlobFolder(record.digest);
    const files = await space.withRoom(0, async () => await openPartialFiles(disk, folder, record, anew));
    try {
      const held = record.known ?? (await this.#recover(record, files.body));
      record.known = held;
      this.#count(record, bytesOfPieces(record.geometry, held) - record.heldBytes, held.count - record.heldCount);
      if (this.#closed) throw contentError('ERR_STORE_CLOSED', 'the content store is closed');
      record.blob = this.#makeBlob(record, files, held, space);
      return record.blob;
    } catch (error) {
      await Promise.all([files.data.close(), files.map.close()]);
      throw error;
    }
  }

  #makeBlob(record: PartialRecord, files: PartialFiles, held: Bitfield, space: StoreSpace): FsPartialBlob {
    const { digest, geometry } = record;
    const dataPath = join(this.#deps.layout.partialBlobFolder(digest), 'data');
    return new FsPartialBlob(
      {
        space,
        memory: this.#deps.memory,
        hashes: this.#deps.hashes,
        data: files.data,
        map: files.map,
        dataPath,
        onHeld: (changeBytes, changeCount) => this.#count(record, changeBytes, changeCount),
        publish: async (pieceHashes) => {
          await this.#deps.publish(digest, geometry.sizeBytes, dataPath, pieceHashes);
          // Counted among the complete blobs from now on.
          this.#count(record, -record.heldBytes, -record.heldCount);
        },
        onEnd: async (fate) => await this.#end(record, fate),
      },
      { digest, geometry, held, body: files.body },
    );
  }

  async #recover(record: PartialRecord, body: Buffer): Promise<Bitfield> {
    const { digest, geometry } = record;
    if (claimedPieces(geometry, body).count === 0) return new Bitfield(geometry.pieceCount);
    const path = join(this.#deps.layout.partialBlobFolder(digest), 'data');
    const held = await this.#deps.hashes.heldPieces(path, geometry, body);
    this.#deps.log.info(
      { digest, algorithm: digestAlgorithm(digest), heldCount: held.count, claimedCount: record.heldCount },
      'partial blob recovered',
    );
    return held;
  }

  #count(record: PartialRecord, changeBytes: number, changeCount: number): void {
    record.heldBytes += changeBytes;
    record.heldCount += changeCount;
    this.#totalBytes += changeBytes;
  }

  async #end(record: PartialRecord, fate: 'published' | 'kept' | 'discarded'): Promise<void> {
    record.blob = undefined;
    record.open = false;
    if (fate !== 'kept' || record.heldCount === 0) {
      await this.#forget(record);
      return;
    }
    this.#records.delete(record.digest);
    this.#records.set(record.digest, record);
  }

  /** No longer counted, at once; off the disk when the answer resolves. A folder that cannot be removed goes at the next start. */
  async #forget(record: PartialRecord): Promise<void> {
    const { disk, layout, log } = this.#deps;
    this.#count(record, -record.heldBytes, -record.heldCount);
    if (this.#records.get(record.digest) === record) this.#records.delete(record.digest);
    try {
      await this.#locks.run(record.digest, async () => await disk.removeTree(layout.partialBlobFolder(record.digest)));
    } catch (error) {
      log.warn({ err: error, digest: record.digest }, 'partial blob could not be removed');
    }
  }
}

function newRecord(digest: Digest, geometry: PieceGeometry): PartialRecord {
  return { digest, geometry, heldBytes: 0, heldCount: 0, open: false, blob: undefined, known: undefined };
}
