/** The catalog over a database of ordered keys; layout.ts says which. */
import { randomUUID } from 'node:crypto';
import { KeyedLock } from '../content/keyed-lock.ts';
import type { Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type RepositoryName } from '../oci/name.ts';
import type {
  BlobLink,
  BlobLinks,
  Catalog,
  Manifests,
  Merging,
  Page,
  PullRecords,
  PullTime,
  Repositories,
  Tags,
  UploadSession,
  UploadSessions,
} from './catalog.ts';
import { ChangeLog, type Changes } from './change-log.ts';
import { catalogError } from './errors.ts';
import { ImageEntries } from './image-entries.ts';
import { ImageMerge } from './image-merge.ts';
import type { KeyValue, KeyValueChange } from './key-value.ts';
import { CATALOG_VERSION, digestIn, KEY, keysUnder, PREFIX } from './layout.ts';
import { listNames } from './name-list.ts';
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
  readonly changes: Changes;
  readonly merging: Merging;
  readonly #database: KeyValue;
  /** Changes that depend on what is there, one at a time in each repository. */
  readonly #locks: KeyedLock<RepositoryName>;

  private constructor(database: KeyValue, locks: KeyedLock<RepositoryName>, log: ChangeLog) {
    this.#database = database;
    this.#locks = locks;
    this.changes = log;
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
    const images = new ImageEntries({ database, locks, log });
    this.manifests = {
      get: async (repository, digest) => await images.manifest(repository, digest),
      stat: async (repository, digest) => await images.facts(repository, digest),
      put: async (repository, manifest, tags) => await images.put(repository, manifest, tags),
      delete: async (repository, digest, deletion) => await images.delete(repository, digest, deletion),
      list: (repository) => images.list(repository),
      referrers: (repository, subject, after) => images.referrers(repository, subject, after),
    };
    this.tags = {
      get: async (repository, tag) => await images.tag(repository, tag),
      delete: async (repository, tag, deletion) => await images.deleteTag(repository, tag, deletion),
      list: async (repository, page) => await listNames(database, PREFIX.tags(repository), page, isTag),
      entries: (repository) => images.tags(repository),
    };
    this.merging = new ImageMerge({ database, locks, log, images });
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
    const locks = new KeyedLock<RepositoryName>();
    return new KeyedCatalog(database, locks, await ChangeLog.open({ database, locks, newId: randomUUID }));
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A page of names, without those that are marked as hidden. */
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
}
