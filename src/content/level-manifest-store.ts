/**
 * Manifests and tags in the store's index. Facts of manifests and the keys of tags are also in memory, in the order of
 * use, to know what goes when a limit is reached; bytes are read from level, and checked against their digest each time.
 */
import type { Logger } from 'pino';
import { digestAlgorithm, digestOf, isDigest, type Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import { parseJson } from './blob-records.ts';
import type { ContentIndex, IndexChange } from './content-index.ts';
import { contentError } from './errors.ts';
import { INDEX_PREFIX, tagKey } from './layout.ts';
import type { ManifestStore, StoredManifest, StoredTag } from './manifest-store.ts';

export interface LevelManifestStoreDeps {
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  readonly index: ContentIndex;
}

export interface LevelManifestStoreConfig {
  /** Most bytes of manifests together. */
  readonly maxManifestBytes: number;
  /** Most tags whose last answer is kept. */
  readonly maxTags: number;
}

interface ManifestFacts {
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

/** A manifest that is asked for all day long is written as used once in this time, not at every request. */
const USE_RESOLUTION_MS = 60 * 60 * 1000;

/** Keeps manifests within limits; what was used least recently goes. The index belongs to whoever opened it. */
export class LevelManifestStore implements ManifestStore {
  readonly #deps: LevelManifestStoreDeps;
  readonly #maxTags: number;
  #maxManifestBytes: number;
  /** Least recently used first: a Map keeps the order in which keys were set. */
  readonly #manifests = new Map<Digest, ManifestFacts>();
  readonly #tags = new Set<string>();
  #totalBytes = 0;

  private constructor(deps: LevelManifestStoreDeps, config: LevelManifestStoreConfig) {
    this.#deps = deps;
    this.#maxTags = config.maxTags;
    this.#maxManifestBytes = config.maxManifestBytes;
  }

  /** Reads the facts of all that is kept. @throws {DockyardError} ERR_STORE_IO */
  static async open(deps: LevelManifestStoreDeps, config: LevelManifestStoreConfig): Promise<LevelManifestStore> {
    const store = new LevelManifestStore(deps, config);
    await store.#load();
    return store;
  }

  /** Puts another limit in force, and removes what is beyond it. @throws {DockyardError} ERR_STORE_IO, ERR_STORE_FULL */
  async setMaxManifestBytes(maxManifestBytes: number): Promise<void> {
    this.#maxManifestBytes = maxManifestBytes;
    await this.#shrink();
  }

  async getManifest(digest: Digest): Promise<StoredManifest | undefined> {
    const facts = this.#manifests.get(digest);
    if (facts === undefined) return undefined;
    const bytes = await this.#deps.index.get(INDEX_PREFIX.manifestBytes + digest);
    if (bytes === undefined || digestOf(bytes, digestAlgorithm(digest)) !== digest) {
      this.#deps.log.error({ digest }, 'manifest damaged and removed');
      await this.#deps.index.write(this.#takeOut(digest));
      return undefined;
    }
    await this.#touch(digest, facts);
    return { digest, mediaType: facts.mediaType, bytes };
  }

  /** @throws {DockyardError} ERR_CONTENT_MISMATCH; ERR_STORE_FULL when it is larger than the limit, or the disk is full */
  async putManifest(manifest: StoredManifest): Promise<void> {
    const { bytes, digest, mediaType } = manifest;
    const found = digestOf(bytes, digestAlgorithm(digest));
    if (found !== digest) throw contentError('ERR_CONTENT_MISMATCH', `a manifest given as ${digest} is ${found}`);
    if (bytes.length > this.#maxManifestBytes) {
      throw contentError('ERR_STORE_FULL', `the manifest ${digest} is larger than all manifests may be`, {
        details: { sizeBytes: bytes.length, maxManifestBytes: this.#maxManifestBytes },
      });
    }
    const facts = { mediaType, sizeBytes: bytes.length, usedAtMs: this.#deps.clock.nowMs() };
    await this.#deps.index.write([
      { type: 'put', key: INDEX_PREFIX.manifestBytes + digest, value: bytes },
      factsChange(digest, facts),
    ]);
    this.#note(digest, facts);
    await this.#shrink();
  }

  async getTag(repository: Repository, tag: Tag): Promise<StoredTag | undefined> {
    const key = tagKey(repository, tag);
    if (!this.#tags.has(key)) return undefined;
    const value = await this.#deps.index.get(key);
    return value === undefined ? undefined : decodeTag(value);
  }

  async putTag(repository: Repository, tag: Tag, stored: StoredTag): Promise<void> {
    const { checkedAtMs, digest, mediaType, sizeBytes } = stored;
    const key = tagKey(repository, tag);
    const value = Buffer.from(JSON.stringify({ digest, mediaType, sizeBytes, checkedAtMs }));
    await this.#deps.index.write([{ type: 'put', key, value }]);
    this.#tags.delete(key);
    this.#tags.add(key);
    await this.#shrink();
  }

  async removeTag(repository: Repository, tag: Tag): Promise<void> {
    const key = tagKey(repository, tag);
    this.#tags.delete(key);
    await this.#deps.index.write([{ type: 'del', key }]);
  }

  /** Nothing is left to write: the index is closed by whoever opened it. */
  async close(): Promise<void> {
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #load(): Promise<void> {
    const manifests: [Digest, ManifestFacts][] = [];
    for await (const [key, value] of this.#deps.index.entries(INDEX_PREFIX.manifest)) {
      const facts = decodeFacts(value);
      if (isDigest(key) && facts !== undefined) manifests.push([key, facts]);
    }
    for (const [digest, facts] of manifests.toSorted((a, b) => a[1].usedAtMs - b[1].usedAtMs))
      this.#note(digest, facts);
    const tags: { key: string; checkedAtMs: number }[] = [];
    for await (const [key, value] of this.#deps.index.entries(INDEX_PREFIX.tag)) {
      tags.push({ key: INDEX_PREFIX.tag + key, checkedAtMs: decodeTag(value)?.checkedAtMs ?? 0 });
    }
    for (const { key } of tags.toSorted((a, b) => a.checkedAtMs - b.checkedAtMs)) this.#tags.add(key);
    await this.#shrink();
  }

  #note(digest: Digest, facts: ManifestFacts): void {
    this.#totalBytes += facts.sizeBytes - (this.#manifests.get(digest)?.sizeBytes ?? 0);
    this.#manifests.delete(digest);
    this.#manifests.set(digest, facts);
  }

  async #touch(digest: Digest, facts: ManifestFacts): Promise<void> {
    // Replaced or evicted while its bytes were read: then there is nothing to note.
    if (this.#manifests.get(digest) !== facts) return;
    const usedAtMs = this.#deps.clock.nowMs();
    if (usedAtMs - facts.usedAtMs < USE_RESOLUTION_MS) {
      this.#note(digest, facts);
      return;
    }
    const used = { ...facts, usedAtMs };
    this.#note(digest, used);
    try {
      await this.#deps.index.write([factsChange(digest, used)]);
    } catch (error) {
      this.#deps.log.warn({ err: error, digest }, 'time of use not written');
    }
  }

  #takeOut(digest: Digest): IndexChange[] {
    this.#totalBytes -= this.#manifests.get(digest)?.sizeBytes ?? 0;
    this.#manifests.delete(digest);
    return [
      { type: 'del', key: INDEX_PREFIX.manifest + digest },
      { type: 'del', key: INDEX_PREFIX.manifestBytes + digest },
    ];
  }

  async #shrink(): Promise<void> {
    const changes: IndexChange[] = [];
    for (const digest of this.#manifests.keys()) {
      if (this.#totalBytes <= this.#maxManifestBytes) break;
      changes.push(...this.#takeOut(digest));
    }
    for (const key of this.#tags) {
      if (this.#tags.size <= this.#maxTags) break;
      this.#tags.delete(key);
      changes.push({ type: 'del', key });
    }
    await this.#deps.index.write(changes);
  }
}

function factsChange(digest: Digest, facts: ManifestFacts): IndexChange {
  return { type: 'put', key: INDEX_PREFIX.manifest + digest, value: Buffer.from(JSON.stringify(facts)) };
}

function decodeFacts(value: Buffer): ManifestFacts | undefined {
  const parsed = parseJson(value);
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { mediaType, sizeBytes, usedAtMs } = parsed as Partial<Record<keyof ManifestFacts, unknown>>;
  if (typeof mediaType !== 'string' || typeof sizeBytes !== 'number' || typeof usedAtMs !== 'number') return undefined;
  return { mediaType, sizeBytes, usedAtMs };
}

function decodeTag(value: Buffer): StoredTag | undefined {
  const parsed = parseJson(value);
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { checkedAtMs, digest, mediaType, sizeBytes } = parsed as Partial<Record<keyof StoredTag, unknown>>;
  if (typeof digest !== 'string' || !isDigest(digest) || typeof mediaType !== 'string') return undefined;
  if (typeof sizeBytes !== 'number' || typeof checkedAtMs !== 'number') return undefined;
  return { digest, mediaType, sizeBytes, checkedAtMs };
}
