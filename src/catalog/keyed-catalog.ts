/** The catalog over a database of ordered keys; layout.ts says which. */
import { KeyedLock } from '../content/keyed-lock.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/name.ts';
import type {
  BlobLink,
  BlobLinks,
  Catalog,
  CatalogManifest,
  ManifestFacts,
  Manifests,
  Page,
  PullRecords,
  PullTime,
  Referrer,
  Repositories,
  TagEntry,
  Tags,
  UploadSession,
  UploadSessions,
} from './catalog.ts';
import { catalogError } from './errors.ts';
import type { KeyValue, KeyValueChange } from './key-value.ts';
import { CATALOG_VERSION, KEY, keysUnder, PREFIX } from './layout.ts';
import { decodeRecord, encodeRecord, RECORD } from './records.ts';

const EMPTY = Buffer.alloc(0);
/** Of a repository in which nothing is left. */
const HIDDEN = Buffer.from('hidden');

/** Made by `openCatalog`. */
export class KeyedCatalog implements Catalog {
  readonly repositories: Repositories;
  readonly blobs: BlobLinks;
  readonly manifests: Manifests;
  readonly tags: Tags;
  readonly pulls: PullRecords;
  readonly sessions: UploadSessions;
  readonly #database: KeyValue;
  /** Changes that depend on what is there, one at a time in each repository. */
  readonly #locks = new KeyedLock<RepositoryName>();

  private constructor(database: KeyValue) {
    this.#database = database;
    this.repositories = {
      has: async (name) => (await database.get(KEY.repository(name))) !== undefined,
      list: async (page) => await this.#shownNames(PREFIX.repositories, page, isRepositoryName),
      hideEmpty: async (name) => await this.#hideEmpty(name),
    };
    this.blobs = {
      get: async (repository, digest) => await this.#blob(repository, digest),
      put: async (repository, link) => await this.#putBlob(repository, link),
      delete: async (repository, digest) => await this.#deleteBlob(repository, digest),
      list: (repository) => this.#listBlobs(repository),
    };
    this.manifests = {
      get: async (repository, digest) => await this.#manifest(repository, digest),
      stat: async (repository, digest) => await this.#facts(repository, digest),
      put: async (repository, manifest, tags) => await this.#putManifest(repository, manifest, tags),
      delete: async (repository, digest) => await this.#deleteManifest(repository, digest),
      list: (repository) => this.#listManifests(repository),
      referrers: (repository, subject, after) => this.#referrers(repository, subject, after),
    };
    this.tags = {
      get: async (repository, tag) => await this.#tag(repository, tag),
      delete: async (repository, tag) => await this.#deleteTag(repository, tag),
      list: async (repository, page) => await this.#names(PREFIX.tags(repository), page, isTag),
      entries: (repository) => this.#tagEntries(repository),
    };
    this.pulls = {
      keptSinceMs: async (nowMs) => await this.#pullsKeptSinceMs(nowMs),
      get: async (repository, digest) => await this.#pull(KEY.pull(repository, digest)),
      put: async (repository, times) => await this.#putPulls(repository, times),
      list: (repository) => this.#listPulls(repository),
    };
    this.sessions = {
      get: async (id) => {
        const key = KEY.upload(id);
        const value = await database.get(key);
        return value === undefined ? undefined : decodeRecord(RECORD.upload, key, value);
      },
      put: async (id, session) => {
        const value = encodeRecord(RECORD.upload, session);
        await database.write([{ type: 'put', key: KEY.upload(id), value }], { isLossy: true });
      },
      delete: async (id) => await database.write([{ type: 'del', key: KEY.upload(id) }], { isLossy: true }),
      list: () => this.#listSessions(),
    };
  }

  /**
   * Begins to use a database, which the catalog closes from then on.
   * @throws {DockyardError} ERR_CATALOG_DAMAGED when it was written by a release with another layout
   */
  static async over(database: KeyValue): Promise<KeyedCatalog> {
    const version = await database.get(KEY.version());
    if (version === undefined) {
      await database.write([{ type: 'put', key: KEY.version(), value: Buffer.from(CATALOG_VERSION) }]);
    } else if (version.toString() !== CATALOG_VERSION) {
      const found = version.toString('latin1').slice(0, 40);
      throw catalogError('ERR_CATALOG_DAMAGED', `the catalog has version '${found}', not '${CATALOG_VERSION}'`);
    }
    return new KeyedCatalog(database);
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #names<Name extends string>(
    prefix: string,
    { after, limit }: Page<string>,
    isName: (text: string) => text is Name,
  ): Promise<Name[]> {
    if (limit <= 0) return [];
    const keys = await this.#database.keys(keysUnder(prefix, after), limit);
    return keys.map((key) => {
      const name = key.slice(prefix.length);
      if (isName(name)) return name;
      throw catalogError('ERR_CATALOG_DAMAGED', `the key ${JSON.stringify(key)} of the catalog names nothing`);
    });
  }

  /** As `#names`, without those that are marked as hidden. */
  async #shownNames<Name extends string>(
    prefix: string,
    { after, limit }: Page<string>,
    isName: (text: string) => text is Name,
  ): Promise<Name[]> {
    const names: Name[] = [];
    if (limit <= 0) return names;
    for await (const [key, value] of this.#database.entries(keysUnder(prefix, after))) {
      const name = key.slice(prefix.length);
      if (isName(name) && !value.equals(HIDDEN)) names.push(name);
      if (names.length >= limit) break;
    }
    return names;
  }

  async #blob(repository: RepositoryName, digest: Digest): Promise<BlobLink | undefined> {
    const key = KEY.blob(repository, digest);
    const value = await this.#database.get(key);
    return value === undefined ? undefined : { digest, ...decodeRecord(RECORD.blob, key, value) };
  }

  async #putBlob(repository: RepositoryName, { digest, sizeBytes, linkedAtMs }: BlobLink): Promise<void> {
    const value = encodeRecord(RECORD.blob, { sizeBytes, linkedAtMs });
    await this.#database.write([
      { type: 'put', key: KEY.repository(repository), value: EMPTY },
      { type: 'put', key: KEY.blob(repository, digest), value },
    ]);
  }

  async #deleteBlob(repository: RepositoryName, digest: Digest): Promise<boolean> {
    const key = KEY.blob(repository, digest);
    return await this.#locks.run(repository, async () => {
      if ((await this.#database.get(key)) === undefined) return false;
      await this.#database.write([{ type: 'del', key }]);
      return true;
    });
  }

  async *#listBlobs(repository: RepositoryName): AsyncGenerator<BlobLink> {
    const prefix = PREFIX.blobs(repository);
    for await (const [key, value] of this.#database.entries(keysUnder(prefix))) {
      yield { digest: digestIn(key, prefix), ...decodeRecord(RECORD.blob, key, value) };
    }
  }

  async #facts(repository: RepositoryName, digest: Digest): Promise<ManifestFacts | undefined> {
    const key = KEY.manifest(repository, digest);
    const value = await this.#database.get(key);
    return value === undefined ? undefined : { digest, ...decodeRecord(RECORD.manifest, key, value) };
  }

  async #manifest(repository: RepositoryName, digest: Digest): Promise<CatalogManifest | undefined> {
    const [facts, bytes] = await Promise.all([
      this.#facts(repository, digest),
      this.#database.get(KEY.manifestBytes(repository, digest)),
    ]);
    // They are written and removed together; between two reads one may go and the other not be there yet.
    return facts === undefined || bytes === undefined ? undefined : { ...facts, bytes };
  }

  async #putManifest(repository: RepositoryName, manifest: CatalogManifest, tags: readonly Tag[]): Promise<void> {
    const { digest, bytes, pushedAtMs, subject } = manifest;
    const { mediaType, sizeBytes, artifactType, annotations, blobs, manifests } = manifest;
    const listed = { mediaType, sizeBytes, artifactType, annotations };
    const facts = encodeRecord(RECORD.manifest, {
      ...listed,
      pushedAtMs,
      subject,
      blobs: [...blobs],
      manifests: [...manifests],
    });
    const changes: KeyValueChange[] = [
      { type: 'put', key: KEY.repository(repository), value: EMPTY },
      { type: 'put', key: KEY.manifest(repository, digest), value: facts },
      { type: 'put', key: KEY.manifestBytes(repository, digest), value: bytes },
    ];
    if (subject !== undefined) {
      const key = KEY.referrer(repository, subject, digest);
      changes.push({ type: 'put', key, value: encodeRecord(RECORD.referrer, listed) });
    }
    const pointer = encodeRecord(RECORD.tag, { digest, updatedAtMs: pushedAtMs });
    await this.#locks.run(repository, async () => {
      for (const tag of tags) {
        const before = await this.#tag(repository, tag);
        if (before !== undefined && before.digest !== digest) {
          changes.push({ type: 'del', key: KEY.pointer(repository, before.digest, tag) });
        }
        changes.push(
          { type: 'put', key: KEY.tag(repository, tag), value: pointer },
          { type: 'put', key: KEY.pointer(repository, digest, tag), value: EMPTY },
        );
      }
      await this.#database.write(changes);
    });
  }

  async #deleteManifest(repository: RepositoryName, digest: Digest): Promise<readonly Tag[] | undefined> {
    return await this.#locks.run(repository, async () => {
      const facts = await this.#facts(repository, digest);
      if (facts === undefined) return undefined;
      const tags = await this.#names(PREFIX.pointers(repository, digest), { limit: Infinity }, isTag);
      const keys = [
        KEY.manifest(repository, digest),
        KEY.manifestBytes(repository, digest),
        KEY.pull(repository, digest),
      ];
      if (facts.subject !== undefined) keys.push(KEY.referrer(repository, facts.subject, digest));
      for (const tag of tags) keys.push(KEY.tag(repository, tag), KEY.pointer(repository, digest, tag));
      await this.#database.write(keys.map((key) => ({ type: 'del', key })));
      return tags;
    });
  }

  async *#listManifests(repository: RepositoryName): AsyncGenerator<ManifestFacts> {
    const prefix = PREFIX.manifests(repository);
    for await (const [key, value] of this.#database.entries(keysUnder(prefix))) {
      yield { digest: digestIn(key, prefix), ...decodeRecord(RECORD.manifest, key, value) };
    }
  }

  async *#referrers(repository: RepositoryName, subject: Digest, after?: Digest): AsyncGenerator<Referrer> {
    const prefix = PREFIX.referrers(repository, subject);
    for await (const [key, value] of this.#database.entries(keysUnder(prefix, after))) {
      yield { digest: digestIn(key, prefix), ...decodeRecord(RECORD.referrer, key, value) };
    }
  }

  async #hideEmpty(name: RepositoryName): Promise<boolean> {
    return await this.#locks.run(name, async () => {
      const key = KEY.repository(name);
      for (const prefix of [PREFIX.manifests(name), PREFIX.blobs(name), PREFIX.tags(name)]) {
        for await (const _entry of this.#database.entries(keysUnder(prefix))) return false;
      }
      if ((await this.#database.get(key))?.length !== 0) return false;
      await this.#database.write([{ type: 'put', key, value: HIDDEN }]);
      return true;
    });
  }

  async #pull(key: string): Promise<number | undefined> {
    const value = await this.#database.get(key);
    return value === undefined ? undefined : decodeRecord(RECORD.pull, key, value).atMs;
  }

  async #pullsKeptSinceMs(nowMs: number): Promise<number> {
    const key = KEY.pullsKeptSince();
    const known = await this.#pull(key);
    if (known !== undefined) return known;
    await this.#database.write([{ type: 'put', key, value: encodeRecord(RECORD.pull, { atMs: nowMs }) }]);
    return nowMs;
  }

  async #putPulls(repository: RepositoryName, times: readonly PullTime[]): Promise<void> {
    await this.#locks.run(repository, async () => {
      const changes: KeyValueChange[] = [];
      for (const { digest, atMs } of times) {
        if ((await this.#database.get(KEY.manifest(repository, digest))) === undefined) continue;
        const value = encodeRecord(RECORD.pull, { atMs });
        changes.push({ type: 'put', key: KEY.pull(repository, digest), value });
      }
      if (changes.length > 0) await this.#database.write(changes, { isLossy: true });
    });
  }

  async *#listPulls(repository: RepositoryName): AsyncGenerator<PullTime> {
    const prefix = PREFIX.pulls(repository);
    for await (const [key, value] of this.#database.entries(keysUnder(prefix))) {
      yield { digest: digestIn(key, prefix), ...decodeRecord(RECORD.pull, key, value) };
    }
  }

  async *#listSessions(): AsyncGenerator<readonly [string, UploadSession]> {
    for await (const [key, value] of this.#database.entries(keysUnder(PREFIX.uploads))) {
      yield [key.slice(PREFIX.uploads.length), decodeRecord(RECORD.upload, key, value)];
    }
  }

  async #tag(repository: RepositoryName, tag: Tag): Promise<TagEntry | undefined> {
    const key = KEY.tag(repository, tag);
    const value = await this.#database.get(key);
    return value === undefined ? undefined : decodeRecord(RECORD.tag, key, value);
  }

  async *#tagEntries(repository: RepositoryName): AsyncGenerator<readonly [Tag, TagEntry]> {
    const prefix = PREFIX.tags(repository);
    for await (const [key, value] of this.#database.entries(keysUnder(prefix))) {
      const tag = key.slice(prefix.length);
      if (isTag(tag)) yield [tag, decodeRecord(RECORD.tag, key, value)];
    }
  }

  async #deleteTag(repository: RepositoryName, tag: Tag): Promise<TagEntry | undefined> {
    return await this.#locks.run(repository, async () => {
      const entry = await this.#tag(repository, tag);
      if (entry === undefined) return undefined;
      await this.#database.write([
        { type: 'del', key: KEY.tag(repository, tag) },
        { type: 'del', key: KEY.pointer(repository, entry.digest, tag) },
      ]);
      return entry;
    });
  }
}

function digestIn(key: string, prefix: string): Digest {
  const digest = key.slice(prefix.length);
  if (isDigest(digest)) return digest;
  throw catalogError('ERR_CATALOG_DAMAGED', `the key ${JSON.stringify(key)} of the catalog names no digest`);
}
