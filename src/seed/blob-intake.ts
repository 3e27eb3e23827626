/** Puts blobs that others have into storage of record: from peers, or from an upstream that keeps the same. */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { BlobStorage, StoredBlob } from '../storage/blob-storage.ts';
import type { SeedReading, SwarmBlobs } from './seed-blobs.ts';

export interface BlobIntakeDeps {
  readonly swarm: Pick<SwarmBlobs, 'open'>;
  readonly storage: Pick<BlobStorage, 'uploads'>;
  /** Makes a blob one of record that fetching has put on this disk; `undefined` when it has not, or cannot. */
  readonly adopt?: ((digest: Digest) => Promise<StoredBlob | undefined>) | undefined;
  /** Told of each blob that this node holds from now on. */
  readonly onStored: (blob: StoredBlob) => void;
}

/** Peers may take so long to say that they have a blob, and to give its first bytes. */
const OPEN_TIMEOUT_MS = 60_000;

/** Smaller ones are not kept by fetching them. */
const ADOPTED_FROM_BYTES = 1024 * 1024;

export class BlobIntake {
  readonly #deps: BlobIntakeDeps;

  constructor(deps: BlobIntakeDeps) {
    this.#deps = deps;
  }

  /** Stores a blob. False when nobody has it. @throws {DockyardError} when it cannot be had or stored now */
  async bring(digest: Digest, repository: Repository, { signal }: { signal: AbortSignal }): Promise<boolean> {
    const reading = await this.#open(digest, repository, signal);
    if (reading === undefined) return false;
    await using source = reading;
    if (source.sizeBytes < ADOPTED_FROM_BYTES || this.#deps.adopt === undefined) {
      await this.#store(source, signal);
      return true;
    }
    for await (const chunk of source.read({ start: 0, end: source.sizeBytes })) {
      signal.throwIfAborted();
      source.recycle?.(chunk);
    }
    const adopted = await this.#deps.adopt(digest);
    if (adopted !== undefined) this.#deps.onStored(adopted);
    // There was no room to keep it; it has to pass once more.
    else await this.#copy(digest, repository, signal);
    return true;
  }

  async #copy(digest: Digest, repository: Repository, signal: AbortSignal): Promise<void> {
    await using source = await this.#open(digest, repository, signal);
    if (source !== undefined) await this.#store(source, signal);
  }

  async #open(digest: Digest, repository: Repository, signal: AbortSignal): Promise<SeedReading | undefined> {
    const waiting = new AbortController();
    const timer = setTimeout(
      () => waiting.abort(new DOMException('nobody gave the blob in time', 'TimeoutError')),
      OPEN_TIMEOUT_MS,
    );
    try {
      const context = { repository, signal: AbortSignal.any([signal, waiting.signal]) };
      return await this.#deps.swarm.open(digest, context);
    } finally {
      clearTimeout(timer);
    }
  }

  async #store(source: SeedReading, signal: AbortSignal): Promise<void> {
    const { storage, onStored } = this.#deps;
    const upload = await storage.uploads.create({ signal });
    try {
      await upload.append(source.read({ start: 0, end: source.sizeBytes }), { signal, isLast: true });
      onStored(await upload.commit(source.digest, { signal }));
    } catch (error) {
      await upload.cancel();
      throw error;
    }
  }
}
