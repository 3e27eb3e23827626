/** Manifests and tags in memory: the double for unit tests. */
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import { contentError } from './errors.ts';
import { tagKey } from './layout.ts';
import type { ManifestStore, StoredManifest, StoredTag } from './manifest-store.ts';

export interface MemoryManifestStoreConfig {
  /** Most bytes of manifests together. */
  readonly maxManifestBytes: number;
  /** Most tags whose last answer is kept. */
  readonly maxTags: number;
}

/** Keeps manifests until the process ends; the limits are those of `LevelManifestStore`. */
export class MemoryManifestStore implements ManifestStore {
  readonly #config: MemoryManifestStoreConfig;
  readonly #manifests = new Map<Digest, StoredManifest>();
  readonly #tags = new Map<string, StoredTag>();
  #totalBytes = 0;

  constructor(config: MemoryManifestStoreConfig = { maxManifestBytes: Infinity, maxTags: Infinity }) {
    this.#config = config;
  }

  async getManifest(digest: Digest): Promise<StoredManifest | undefined> {
    const manifest = this.#manifests.get(digest);
    if (manifest === undefined) return await Promise.resolve(undefined);
    this.#manifests.delete(digest);
    this.#manifests.set(digest, manifest);
    return manifest;
  }

  async putManifest(manifest: StoredManifest): Promise<void> {
    const { bytes, digest } = manifest;
    const found = digestOf(bytes, digestAlgorithm(digest));
    if (found !== digest) throw contentError('ERR_CONTENT_MISMATCH', `a manifest given as ${digest} is ${found}`);
    if (bytes.length > this.#config.maxManifestBytes) {
      throw contentError('ERR_STORE_FULL', `the manifest ${digest} is larger than all manifests may be`);
    }
    this.#drop(digest);
    this.#manifests.set(digest, { ...manifest, bytes: Buffer.from(bytes) });
    this.#totalBytes += bytes.length;
    for (const oldest of this.#manifests.keys()) {
      if (this.#totalBytes <= this.#config.maxManifestBytes) break;
      this.#drop(oldest);
    }
    await Promise.resolve();
  }

  async getTag(repository: Repository, tag: Tag): Promise<StoredTag | undefined> {
    return await Promise.resolve(this.#tags.get(tagKey(repository, tag)));
  }

  async putTag(repository: Repository, tag: Tag, stored: StoredTag): Promise<void> {
    const key = tagKey(repository, tag);
    this.#tags.delete(key);
    this.#tags.set(key, { ...stored });
    for (const oldest of this.#tags.keys()) {
      if (this.#tags.size <= this.#config.maxTags) break;
      this.#tags.delete(oldest);
    }
    await Promise.resolve();
  }

  async removeTag(repository: Repository, tag: Tag): Promise<void> {
    this.#tags.delete(tagKey(repository, tag));
    await Promise.resolve();
  }

  /** Holds nothing that has to be given back. */
  async close(): Promise<void> {
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #drop(digest: Digest): void {
    this.#totalBytes -= this.#manifests.get(digest)?.bytes.length ?? 0;
    this.#manifests.delete(digest);
  }
}
