/** Manifests and tags of a seed's repositories. A manifest becomes visible when all that it needs is there, durably. */
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../oci/digest.ts';
import type { ManifestReference, RepositoryName, Tag } from '../oci/name.ts';
import type { BlobStorage } from '../storage/blob-storage.ts';
import { seedError } from './errors.ts';
import type { PullTimes } from './pull-times.ts';
import { readPushedManifest, type PushedManifest } from './pushed-manifest.ts';
import type { PushGate } from './push-gate.ts';
import type { SeedContext } from './seed-blobs.ts';
import type { SeedPolicy } from './seed-policy.ts';

export interface SeedManifestsDeps {
  readonly catalog: Pick<Catalog, 'blobs' | 'manifests' | 'tags'>;
  readonly storage: Pick<BlobStorage, 'blobs'>;
  readonly policy: SeedPolicy;
  readonly gate: Pick<PushGate, 'addManifest'>;
  readonly clock: { nowMs(): number };
  /** Told of each manifest that is asked for. */
  readonly pulls?: Pick<PullTimes, 'note'> | undefined;
}

/** A manifest for a client. */
export interface SeedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** A manifest from a client. */
export interface ManifestPush {
  readonly reference: ManifestReference;
  /** Further tags, beside one that `reference` may be. */
  readonly tags: readonly Tag[];
  /** As the client sent it; absent where it sent none. */
  readonly contentType: string | undefined;
  readonly bytes: Buffer;
}

/** What was kept. */
export interface KeptManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly subject: Digest | undefined;
}

/** What was deleted. */
export interface DeletedManifest {
  readonly digest: Digest;
  /** The tag when that alone was deleted. */
  readonly tag: Tag | undefined;
}

/** So many of the things that a manifest needs are looked up at once. */
const LOOKUPS = 32;

export class SeedManifests {
  readonly #deps: SeedManifestsDeps;

  constructor(deps: SeedManifestsDeps) {
    this.#deps = deps;
  }

  /** A manifest of the repository, or `undefined`. */
  async get(reference: ManifestReference, { repository }: SeedContext): Promise<SeedManifest | undefined> {
    const { catalog } = this.#deps;
    const { name } = repository;
    const digest =
      reference.kind === 'digest' ? reference.digest : (await catalog.tags.get(name, reference.tag))?.digest;
    const found = digest === undefined ? undefined : await catalog.manifests.get(name, digest);
    // A question by HEAD as well: nodes learn by it what a tag stands for, and clients whether they have to push.
    if (found !== undefined) this.#deps.pulls?.note(name, found.digest);
    return found;
  }

  /**
   * Keeps a manifest and its tags.
   * @throws {DockyardError} ERR_NAME_NOT_ALLOWED, ERR_TAG_IMMUTABLE, ERR_MANIFEST_REFUSED, ERR_MANIFEST_DIGEST,
   *   ERR_MANIFEST_NEEDS
   */
  async put(push: ManifestPush, { repository, signal }: SeedContext): Promise<KeptManifest> {
    const { catalog, clock, gate, policy } = this.#deps;
    const { name } = repository;
    const { reference } = push;
    policy.requirePush(name);
    const pushed = readPushedManifest(
      push.bytes,
      push.contentType,
      reference.kind === 'digest' ? reference.digest : undefined,
    );
    const { digest, mediaType, sizeBytes, subject } = pushed.manifest;
    const tags = [...new Set(reference.kind === 'tag' ? [reference.tag, ...push.tags] : push.tags)];
    await gate.addManifest(name, async () => {
      for (const tag of tags) await this.#requireFree(name, tag, digest);
      await this.#requireNeeds(name, pushed, signal);
      await catalog.manifests.put(name, { ...pushed.manifest, pushedAtMs: clock.nowMs() }, tags);
    });
    return { digest, mediaType, sizeBytes, subject };
  }

  /**
   * Deletes a tag, or a manifest with all of its tags.
   * @throws {DockyardError} ERR_DELETE_FORBIDDEN, ERR_TAG_IMMUTABLE, ERR_MANIFEST_NOT_IN_REPOSITORY
   */
  async delete(reference: ManifestReference, { repository }: SeedContext): Promise<DeletedManifest> {
    const { catalog, clock, policy } = this.#deps;
    const { name } = repository;
    const deletion = { atMs: clock.nowMs() };
    policy.requireDelete();
    if (reference.kind === 'tag') {
      policy.requireMutable(name, reference.tag);
      const entry = await catalog.tags.delete(name, reference.tag, deletion);
      if (entry !== undefined) return { digest: entry.digest, tag: reference.tag };
      throw seedError('ERR_MANIFEST_NOT_IN_REPOSITORY', `${name} has no tag '${reference.tag}'`);
    }
    const { digest } = reference;
    if ((await catalog.manifests.delete(name, digest, deletion)) !== undefined) return { digest, tag: undefined };
    throw seedError('ERR_MANIFEST_NOT_IN_REPOSITORY', `${name} has no manifest ${digest}`);
  }

  /** An immutable tag may be pushed again when it stands for the same manifest. */
  async #requireFree(name: RepositoryName, tag: Tag, digest: Digest): Promise<void> {
    const entry = await this.#deps.catalog.tags.get(name, tag);
    if (entry !== undefined && entry.digest !== digest) this.#deps.policy.requireMutable(name, tag);
  }

  async #requireNeeds(name: RepositoryName, pushed: PushedManifest, signal: AbortSignal): Promise<void> {
    const blobs = [...pushed.blobs].map(
      ([digest, sizeBytes]) =>
        async () =>
          requireSize(digest, sizeBytes, await this.#blobSize(name, digest, signal)),
    );
    const manifests = [...pushed.manifests].map(([digest, sizeBytes]) => async () => {
      const found = await this.#deps.catalog.manifests.stat(name, digest);
      requireSize(digest, sizeBytes, found?.sizeBytes);
    });
    const checks = [...blobs, ...manifests];
    for (let at = 0; at < checks.length; at += LOOKUPS) {
      await Promise.all(checks.slice(at, at + LOOKUPS).map(async (check) => await check()));
    }
  }

  /** Seen in the repository, and in storage. */
  async #blobSize(name: RepositoryName, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const link = await this.#deps.catalog.blobs.get(name, digest);
    return link === undefined ? undefined : (await this.#deps.storage.blobs.stat(digest, { signal }))?.sizeBytes;
  }
}

function requireSize(digest: Digest, statedBytes: number | undefined, foundBytes: number | undefined): void {
  if (foundBytes === undefined) {
    throw seedError('ERR_MANIFEST_NEEDS', `the manifest needs ${digest}, which is not in the repository`);
  }
  if (statedBytes === undefined || statedBytes === foundBytes) return;
  throw seedError(
    'ERR_MANIFEST_REFUSED',
    `the manifest says that ${digest} has ${statedBytes} bytes, it has ${foundBytes}`,
  );
}
