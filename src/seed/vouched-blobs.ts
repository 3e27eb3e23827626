/**
 * Blobs of upstreams, as a seed serves them. The store holds what was pushed to this seed beside what was fetched, and a
 * client that names a repository of an upstream must not get from it what only a repository of this seed has
 * (CVE-2024-39897). So for a blob of record the upstream has to say that it has it too.
 */
import type { Digest } from '../oci/digest.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import type { SeedContext, SeedReading } from './seed-blobs.ts';

export interface VouchedBlobsDeps {
  /** Blobs wherever they are. */
  readonly blobs: {
    open(digest: Digest, context: SeedContext): Promise<SeedReading | undefined>;
    stat(digest: Digest, context: SeedContext): Promise<{ sizeBytes: number } | undefined>;
  };
  readonly isOfRecord: (digest: Digest) => boolean;
  /** Upstreams; `undefined` when the repository does not have the blob. */
  readonly origin: {
    statBlob(
      repository: Repository,
      digest: Digest,
      options: { signal: AbortSignal },
    ): Promise<{ sizeBytes: number } | undefined>;
  };
}

/** So many answers of upstreams are remembered: content under a digest does not change. */
const MAX_REMEMBERED = 10_000;

export class VouchedBlobs {
  readonly #deps: VouchedBlobsDeps;
  readonly #vouched = new Set<string>();

  constructor(deps: VouchedBlobsDeps) {
    this.#deps = deps;
  }

  async open(digest: Digest, context: SeedContext): Promise<SeedReading | undefined> {
    return (await this.#isVouched(digest, context)) ? await this.#deps.blobs.open(digest, context) : undefined;
  }

  async stat(digest: Digest, context: SeedContext): Promise<{ sizeBytes: number } | undefined> {
    return (await this.#isVouched(digest, context)) ? await this.#deps.blobs.stat(digest, context) : undefined;
  }

  async #isVouched(digest: Digest, { repository, signal }: SeedContext): Promise<boolean> {
    if (!this.#deps.isOfRecord(digest)) return true;
    const key = `${formatRepository(repository)} ${digest}`;
    if (this.#vouched.has(key)) return true;
    if ((await this.#deps.origin.statBlob(repository, digest, { signal })) === undefined) return false;
    const [oldest] = this.#vouched;
    if (this.#vouched.size >= MAX_REMEMBERED && oldest !== undefined) this.#vouched.delete(oldest);
    this.#vouched.add(key);
    return true;
  }
}
