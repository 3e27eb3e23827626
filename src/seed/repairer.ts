/** Gets blobs of record that were damaged or lost from whoever has them, and stores them again. */
import type { Logger } from 'pino';
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import type { RepositoryName } from '../oci/name.ts';
import { HOSTED_HERE } from '../oci/repository.ts';
import type { BlobStorage, StoredBlob } from '../storage/blob-storage.ts';
import type { SeedReading, SwarmBlobs } from './seed-blobs.ts';

export interface RepairerDeps {
  readonly swarm: Pick<SwarmBlobs, 'open'>;
  readonly storage: Pick<BlobStorage, 'uploads'>;
  /** Told of each blob that this node holds from now on. */
  readonly onStored: (blob: StoredBlob) => void;
  readonly log: Logger;
}

export interface RepairerConfig {
  /** Upstreams that keep what this seed keeps: they are asked when no peer has the blob. */
  readonly otherSeeds: readonly string[];
}

/** Peers may take so long to say that they have a blob, and to give its first bytes. */
const OPEN_TIMEOUT_MS = 60_000;

export class Repairer {
  readonly #deps: RepairerDeps;
  readonly #config: RepairerConfig;

  constructor(deps: RepairerDeps, config: RepairerConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Stores a blob again. False when nobody could give it; why is logged. An abort is thrown. */
  async repair(digest: Digest, name: RepositoryName, { signal }: { signal: AbortSignal }): Promise<boolean> {
    // No other upstream: a name without a host is this seed's, and nobody else is to learn it.
    for (const upstream of [HOSTED_HERE, ...this.#config.otherSeeds]) {
      try {
        if (await this.#fetch(digest, { upstream, name }, signal)) return true;
      } catch (error) {
        signal.throwIfAborted();
        // It is only not there: what could not be stored is worth a line.
        const level = isDockyardError(error, 'ERR_UPSTREAM_UNKNOWN') ? 'debug' : 'warn';
        this.#deps.log[level]({ err: error, digest, upstream }, 'blob of record not repaired');
      }
    }
    return false;
  }

  async #fetch(
    digest: Digest,
    repository: { readonly upstream: string; readonly name: RepositoryName },
    signal: AbortSignal,
  ): Promise<boolean> {
    const waiting = new AbortController();
    const timer = setTimeout(
      () => waiting.abort(new DOMException('nobody gave the blob in time', 'TimeoutError')),
      OPEN_TIMEOUT_MS,
    );
    let reading: SeedReading | undefined;
    try {
      const context = { repository, signal: AbortSignal.any([signal, waiting.signal]) };
      reading = await this.#deps.swarm.open(digest, context);
    } finally {
      clearTimeout(timer);
    }
    if (reading === undefined) return false;
    await using source = reading;
    await this.#store(source, signal);
    return true;
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
