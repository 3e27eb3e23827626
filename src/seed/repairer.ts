/** Gets blobs of record that were damaged or lost from whoever has them, and stores them again. */
import type { Logger } from 'pino';
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import type { RepositoryName } from '../oci/name.ts';
import { HOSTED_HERE } from '../oci/repository.ts';
import type { BlobIntake } from './blob-intake.ts';

export interface RepairerDeps {
  readonly blobs: Pick<BlobIntake, 'bring'>;
  readonly log: Logger;
}

export interface RepairerConfig {
  /** Upstreams that keep what this seed keeps: they are asked when no peer has the blob. */
  readonly otherSeeds: readonly string[];
}

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
        if (await this.#deps.blobs.bring(digest, { upstream, name }, { signal })) return true;
      } catch (error) {
        signal.throwIfAborted();
        // It is only not there: what could not be stored is worth a line.
        const level = isDockyardError(error, 'ERR_UPSTREAM_UNKNOWN') ? 'debug' : 'warn';
        this.#deps.log[level]({ err: error, digest, upstream }, 'blob of record not repaired');
      }
    }
    return false;
  }
}
