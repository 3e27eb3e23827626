/**
 * Blobs of a seed's repositories. A blob is seen in the repositories that it was pushed or mounted to and nowhere else,
 * however many others hold the same bytes (CVE-2024-39897).
 */
import type { BlobLink, Catalog } from '../catalog/catalog.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import type { BlobStorage, StoredReading } from '../storage/blob-storage.ts';
import { seedError } from './errors.ts';
import type { PushGate } from './push-gate.ts';
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
  /** Clients are sent to storage for blobs that it can give them itself. */
  readonly redirects?: boolean | undefined;
  readonly catalog: Pick<Catalog, 'blobs'>;
  readonly storage: Pick<BlobStorage, 'blobs'>;
  readonly swarm: SwarmBlobs;
  readonly policy: SeedPolicy;
  readonly gate: Pick<PushGate, 'addLink' | 'useBlob'>;
  readonly clock: { nowMs(): number };
}

export interface SeedBlobsConfig {
  /** How long a blob that no manifest needs is kept, from when it was last pushed, mounted or found there. */
  readonly graceMs: number;
}

export class SeedBlobs {
  readonly #deps: SeedBlobsDeps;
  readonly #config: SeedBlobsConfig;

  constructor(deps: SeedBlobsDeps, config: SeedBlobsConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * The size of a blob; `undefined` when it is not seen in the repository. So is a blob that was lost from storage: then
   * clients that ask before they push send it again, and the loss is healed. Whoever is told that it is there may rely on it
   * for half of the grace period at least.
   */
  async stat(digest: Digest, { repository, signal }: SeedContext): Promise<{ sizeBytes: number } | undefined> {
    const { catalog, storage, swarm } = this.#deps;
    const link = await catalog.blobs.get(repository.name, digest);
    if (link === undefined) return undefined;
    if (this.#isOld(link) && !(await this.#renew(repository.name, digest))) return undefined;
    if (swarm.isHeld(digest)) await swarm.regain?.(digest);
    const stored = await storage.blobs.stat(digest, { signal });
    return stored === undefined ? undefined : { sizeBytes: stored.sizeBytes };
  }

  #isOld({ linkedAtMs }: BlobLink): boolean {
    const { graceMs } = this.#config;
    return graceMs > 0 && this.#deps.clock.nowMs() - linkedAtMs > graceMs / 2;
  }

  /** Clients that find a blob do not push it, and push the manifest that needs it later. False when it is gone already. */
  async #renew(repository: RepositoryName, digest: Digest): Promise<boolean> {
    const { catalog, clock, gate } = this.#deps;
    return await gate.useBlob(
      digest,
      async () =>
        await gate.addLink(repository, async () => {
          const link = await catalog.blobs.get(repository, digest);
          if (link === undefined) return false;
          try {
            await catalog.blobs.put(repository, { ...link, linkedAtMs: clock.nowMs() });
          } catch (error) {
            // Nothing can be pushed then, and pulls are to go on.
            if (!isDockyardError(error, 'ERR_CATALOG_FULL')) throw error;
          }
          return true;
        }),
    );
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

  /** Where a client may fetch a blob by itself; `undefined` when it is to be given it here. */
  async directUrl(digest: Digest, { repository, signal }: SeedContext): Promise<string | undefined> {
    const { catalog, redirects, storage } = this.#deps;
    if (redirects !== true || (await catalog.blobs.get(repository.name, digest)) === undefined) return undefined;
    return (await storage.blobs.directUrl?.(digest, { signal }))?.url;
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
