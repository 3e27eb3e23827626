/**
 * Blobs of a seed's repositories. A blob is seen in the repositories that it was pushed or mounted to and nowhere else,
 * however many others hold the same bytes (CVE-2024-39897).
 */
import type { Catalog } from '../catalog/catalog.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { BlobStorage, StoredReading } from '../storage/blob-storage.ts';
import { seedError } from './errors.ts';
import type { SeedPolicy } from './seed-policy.ts';

/** For whom a blob is opened. */
export interface SeedContext {
  readonly repository: Repository;
  readonly signal: AbortSignal;
}

/** A blob that can be delivered. Whoever opens it closes it. */
export interface SeedReading extends AsyncDisposable {
  readonly digest: Digest;
  readonly sizeBytes: number;
  read(range: ByteRange): AsyncIterable<Uint8Array>;
  recycle?(chunk: Uint8Array): void;
  close(): Promise<void>;
}

/** What this node holds for the swarm, and what others hold. */
export interface SwarmBlobs {
  /** True when the blob can be read from this node's own content store. */
  isHeld(digest: Digest): boolean;
  open(digest: Digest, context: SeedContext): Promise<SeedReading | undefined>;
  /** Makes a blob of record again of one that was lost from storage and is held because a peer gave it. */
  regain?(digest: Digest): Promise<void>;
}

export interface SeedBlobsDeps {
  readonly catalog: Pick<Catalog, 'blobs'>;
  readonly storage: Pick<BlobStorage, 'blobs'>;
  readonly swarm: SwarmBlobs;
  readonly policy: SeedPolicy;
}

export class SeedBlobs {
  readonly #deps: SeedBlobsDeps;

  constructor(deps: SeedBlobsDeps) {
    this.#deps = deps;
  }

  /**
   * The size of a blob; `undefined` when it is not seen in the repository. So is a blob that was lost from storage: then
   * clients that ask before they push send it again, and the loss is healed.
   */
  async stat(digest: Digest, { repository, signal }: SeedContext): Promise<{ sizeBytes: number } | undefined> {
    const { catalog, storage, swarm } = this.#deps;
    const link = await catalog.blobs.get(repository.name, digest);
    if (link === undefined) return undefined;
    if (swarm.isHeld(digest)) await swarm.regain?.(digest);
    const stored = await storage.blobs.stat(digest, { signal });
    return stored === undefined ? undefined : { sizeBytes: stored.sizeBytes };
  }

  /** Opens a blob; what was lost from storage is fetched from peers. `undefined` when it is not seen in the repository. */
  async open(digest: Digest, context: SeedContext): Promise<SeedReading | undefined> {
    const { catalog, storage, swarm } = this.#deps;
    if ((await catalog.blobs.get(context.repository.name, digest)) === undefined) return undefined;
    if (swarm.isHeld(digest)) {
      await swarm.regain?.(digest);
      return await swarm.open(digest, context);
    }
    const stored = await storage.blobs.open(digest, context);
    return stored === undefined ? await swarm.open(digest, context) : storedReading(stored, context.signal);
  }

  /**
   * Takes a blob out of a repository. Its bytes stay as long as another repository or a manifest may need them.
   * @throws {DockyardError} ERR_DELETE_FORBIDDEN, ERR_BLOB_NOT_IN_REPOSITORY
   */
  async delete(digest: Digest, { repository }: SeedContext): Promise<void> {
    this.#deps.policy.requireDelete();
    if (await this.#deps.catalog.blobs.delete(repository.name, digest)) return;
    throw seedError('ERR_BLOB_NOT_IN_REPOSITORY', `${repository.name} has no blob ${digest}`);
  }
}

function storedReading(stored: StoredReading, signal: AbortSignal): SeedReading {
  const { digest, sizeBytes } = stored;
  const close = async (): Promise<void> => await stored.close();
  return { digest, sizeBytes, read: (range) => stored.read(range, { signal }), close, [Symbol.asyncDispose]: close };
}
