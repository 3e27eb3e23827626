/** Manifests and tags in the database: how they are read, written and removed. Every change of them goes into the log. */
import type { KeyedLock } from '../content/keyed-lock.ts';
import type { Digest } from '../oci/digest.ts';
import { isTag, type RepositoryName, type Tag } from '../oci/name.ts';
import type { CatalogManifest, Deletion, ManifestFacts, Referrer, TagEntry } from './catalog.ts';
import type { ChangeLog } from './change-log.ts';
import { timeAfter, type Change, type ChangedReference } from './changes.ts';
import type { KeyValue, KeyValueChange } from './key-value.ts';
import { digestIn, KEY, keysUnder, PREFIX } from './layout.ts';
import { listNames } from './name-list.ts';
import { decodeRecord, encodeRecord, RECORD } from './records.ts';

const EMPTY = Buffer.alloc(0);

export interface ImageEntriesDeps {
  readonly database: KeyValue;
  /** Changes that depend on what is there, one at a time in each repository. */
  readonly locks: KeyedLock<RepositoryName>;
  readonly log: ChangeLog;
}

export class ImageEntries {
  readonly #deps: ImageEntriesDeps;

  constructor(deps: ImageEntriesDeps) {
    this.#deps = deps;
  }

  async facts(repository: RepositoryName, digest: Digest): Promise<ManifestFacts | undefined> {
    const key = KEY.manifest(repository, digest);
    const value = await this.#deps.database.get(key);
    return value === undefined ? undefined : { digest, ...decodeRecord(RECORD.manifest, key, value) };
  }

  async manifest(repository: RepositoryName, digest: Digest): Promise<CatalogManifest | undefined> {
    const [facts, bytes] = await Promise.all([
      this.facts(repository, digest),
      this.#deps.database.get(KEY.manifestBytes(repository, digest)),
    ]);
    // They are written and removed together; between two reads one may go and the other not be there yet.
    return facts === undefined || bytes === undefined ? undefined : { ...facts, bytes };
  }

  async *list(repository: RepositoryName): AsyncGenerator<ManifestFacts> {
    const prefix = PREFIX.manifests(repository);
    for await (const [key, value] of this.#deps.database.entries(keysUnder(prefix))) {
      yield { digest: digestIn(key, prefix), ...decodeRecord(RECORD.manifest, key, value) };
    }
  }

  async *referrers(repository: RepositoryName, subject: Digest, after?: Digest): AsyncGenerator<Referrer> {
    const prefix = PREFIX.referrers(repository, subject);
    for await (const [key, value] of this.#deps.database.entries(keysUnder(prefix, after))) {
      yield { digest: digestIn(key, prefix), ...decodeRecord(RECORD.referrer, key, value) };
    }
  }

  async tag(repository: RepositoryName, tag: Tag): Promise<TagEntry | undefined> {
    const key = KEY.tag(repository, tag);
    const value = await this.#deps.database.get(key);
    return value === undefined ? undefined : decodeRecord(RECORD.tag, key, value);
  }

  async *tags(repository: RepositoryName): AsyncGenerator<readonly [Tag, TagEntry]> {
    const prefix = PREFIX.tags(repository);
    for await (const [key, value] of this.#deps.database.entries(keysUnder(prefix))) {
      const tag = key.slice(prefix.length);
      if (isTag(tag)) yield [tag, decodeRecord(RECORD.tag, key, value)];
    }
  }

  /** Keeps a manifest that somebody pushes here and lets tags point to it, later than whatever stood there. */
  async put(repository: RepositoryName, manifest: CatalogManifest, tags: readonly Tag[]): Promise<void> {
    const { locks, log } = this.#deps;
    const { digest } = manifest;
    await locks.run(repository, async () => {
      let atMs = manifest.pushedAtMs;
      for (const reference of [digest, ...tags])
        atMs = timeAfter(await log.standing({ repository, reference }), digest, atMs);
      const writes = this.manifestWrites(repository, { ...manifest, pushedAtMs: atMs });
      for (const tag of tags) writes.push(...(await this.tagWrites(repository, tag, { digest, updatedAtMs: atMs })));
      const changes = [digest, ...tags].map((reference): Change => ({ repository, reference, digest, atMs }));
      await log.write({ changes }, writes);
    });
  }

  /** Removes a manifest and the tags that point to it, and answers those. */
  async delete(repository: RepositoryName, digest: Digest, deletion?: Deletion): Promise<readonly Tag[] | undefined> {
    const { locks, log } = this.#deps;
    return await locks.run(repository, async () => {
      const facts = await this.facts(repository, digest);
      if (facts === undefined) return undefined;
      const { tags, writes } = await this.removalWrites(repository, facts);
      const names = tags.map(([tag]) => tag);
      if (deletion === undefined) {
        const forgotten = [digest, ...names].map((reference): ChangedReference => ({ repository, reference }));
        await log.write({ changes: [], forgotten }, writes);
        return names;
      }
      const standing = await log.standing({ repository, reference: digest });
      const atMs = timeAfter(standing, undefined, deletion.atMs);
      const changes = [{ repository, reference: digest, atMs }, ...deletedWith(repository, tags)];
      await log.write({ changes }, writes);
      return names;
    });
  }

  async deleteTag(repository: RepositoryName, tag: Tag, deletion?: Deletion): Promise<TagEntry | undefined> {
    const { locks, log } = this.#deps;
    return await locks.run(repository, async () => {
      const entry = await this.tag(repository, tag);
      if (entry === undefined) return undefined;
      const removed: ChangedReference = { repository, reference: tag };
      const writes = tagRemoval(repository, tag, entry);
      if (deletion === undefined) await log.write({ changes: [], forgotten: [removed] }, writes);
      else {
        const atMs = timeAfter(await log.standing(removed), undefined, deletion.atMs);
        await log.write({ changes: [{ ...removed, atMs }] }, writes);
      }
      return entry;
    });
  }

  /** What keeps a manifest. */
  manifestWrites(repository: RepositoryName, manifest: CatalogManifest): KeyValueChange[] {
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
    const writes: KeyValueChange[] = [
      { type: 'put', key: KEY.repository(repository), value: EMPTY },
      { type: 'put', key: KEY.manifest(repository, digest), value: facts },
      { type: 'put', key: KEY.manifestBytes(repository, digest), value: bytes },
    ];
    if (subject !== undefined) {
      const key = KEY.referrer(repository, subject, digest);
      writes.push({ type: 'put', key, value: encodeRecord(RECORD.referrer, listed) });
    }
    return writes;
  }

  /** What lets a tag point to a manifest, away from where it pointed. */
  async tagWrites(repository: RepositoryName, tag: Tag, entry: TagEntry): Promise<KeyValueChange[]> {
    const before = await this.tag(repository, tag);
    const writes: KeyValueChange[] = [];
    if (before !== undefined && before.digest !== entry.digest)
      writes.push({ type: 'del', key: KEY.pointer(repository, before.digest, tag) });
    writes.push(
      { type: 'put', key: KEY.tag(repository, tag), value: encodeRecord(RECORD.tag, entry) },
      { type: 'put', key: KEY.pointer(repository, entry.digest, tag), value: EMPTY },
    );
    return writes;
  }

  /** What removes a manifest, and the tags that point to it. */
  async removalWrites(
    repository: RepositoryName,
    { digest, subject }: ManifestFacts,
  ): Promise<{ readonly tags: readonly (readonly [Tag, TagEntry])[]; readonly writes: KeyValueChange[] }> {
    const names = await listNames(this.#deps.database, PREFIX.pointers(repository, digest), { limit: Infinity }, isTag);
    const keys = [
      KEY.manifest(repository, digest),
      KEY.manifestBytes(repository, digest),
      KEY.pull(repository, digest),
    ];
    if (subject !== undefined) keys.push(KEY.referrer(repository, subject, digest));
    const writes = keys.map((key): KeyValueChange => ({ type: 'del', key }));
    const tags: (readonly [Tag, TagEntry])[] = [];
    for (const tag of names) {
      const entry = await this.tag(repository, tag);
      if (entry === undefined) continue;
      tags.push([tag, entry]);
      writes.push(...tagRemoval(repository, tag, entry));
    }
    return { tags, writes };
  }
}

/** What removes a tag. */
export function tagRemoval(repository: RepositoryName, tag: Tag, { digest }: TagEntry): KeyValueChange[] {
  return [
    { type: 'del', key: KEY.tag(repository, tag) },
    { type: 'del', key: KEY.pointer(repository, digest, tag) },
  ];
}

/**
 * Tags go with the manifest that they point to, at the times when they were set: later ones, which somebody may have set elsewhere
 * to point to something else before the manifest was deleted, stand.
 */
export function deletedWith(repository: RepositoryName, tags: readonly (readonly [Tag, TagEntry])[]): Change[] {
  return tags.map(([reference, { updatedAtMs: atMs }]) => ({ repository, reference, atMs }));
}
