/**
 * Makes a change of another seed here: what an image needs is fetched first, then its manifest is kept, then its tag is set, as in
 * a push. Garbage is collected meanwhile, so the same gate is gone through.
 */
import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.ts';
import { isTagReference, type Change } from '../catalog/changes.ts';
import { KeyedLock } from '../content/keyed-lock.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import { readPushedManifest } from '../seed/pushed-manifest.ts';
import type { PushGate } from '../seed/push-gate.ts';
import type { SeedPolicy } from '../seed/seed-policy.ts';
import type { BlobStorage } from '../storage/blob-storage.ts';
import { replicationError } from './errors.ts';
import type { PeerSeed } from './peer-seed.ts';

export interface ChangeIntakeDeps {
  readonly catalog: Pick<Catalog, 'blobs' | 'manifests' | 'merging'>;
  readonly storage: Pick<BlobStorage, 'blobs'>;
  readonly gate: Pick<PushGate, 'addLink' | 'addManifest' | 'useBlob'>;
  readonly policy: Pick<SeedPolicy, 'accepts' | 'allowsDelete'>;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
}

/**
 * What came of a change. `known`: what stands here outdoes it; `gone`: the other seed has the image no more; `refused`: this
 * seed takes no such name, or lets nothing be deleted.
 */
export type IntakeOutcome = 'merged' | 'known' | 'gone' | 'refused';

interface Options {
  readonly signal: AbortSignal;
}

/** An index may name indexes; nobody nests them so deep. */
const MAX_DEPTH = 8;

export class ChangeIntake {
  readonly #deps: ChangeIntakeDeps;
  readonly #blobs = new KeyedLock<Digest>();

  constructor(deps: ChangeIntakeDeps) {
    this.#deps = deps;
  }

  /** True for a change that is to be made here. */
  async isNews(change: Change): Promise<boolean> {
    return !this.#isRefused(change) && (await this.#deps.catalog.merging.isNews(change));
  }

  /** Makes a change. Whoever may be interrupted makes it again. @throws {DockyardError} when that cannot be done now */
  async take(change: Change, peer: PeerSeed, options: Options): Promise<IntakeOutcome> {
    const { catalog, gate } = this.#deps;
    const { repository, reference, digest, atMs } = change;
    if (this.#isRefused(change)) return 'refused';
    if (!(await catalog.merging.isNews(change))) return 'known';
    if (digest === undefined) return (await catalog.merging.deletion(change)) === 'merged' ? 'merged' : 'known';
    const isThere = await this.#takeManifest({ repository, digest, atMs }, peer, options, 0);
    if (!isTagReference(reference)) return isThere ? 'merged' : 'gone';
    // Also where the manifest is gone: it may have been deleted here, and then the tag is as well.
    const outcome = await gate.addManifest(
      repository,
      async () => await catalog.merging.tag(repository, reference, { digest, atMs }),
    );
    return outcome === 'lacking' ? 'gone' : outcome;
  }

  #isRefused({ repository, digest }: Change): boolean {
    const { policy } = this.#deps;
    return !policy.accepts(repository) || (digest === undefined && !policy.allowsDelete);
  }

  /** @returns false when the other seed has it no more */
  async #takeManifest(
    {
      repository,
      digest,
      atMs,
    }: { readonly repository: RepositoryName; readonly digest: Digest; readonly atMs: number },
    peer: PeerSeed,
    options: Options,
    depth: number,
  ): Promise<boolean> {
    const { catalog, gate, log } = this.#deps;
    if (!(await catalog.merging.isNews({ repository, reference: digest, digest, atMs }))) return true;
    const held = await catalog.manifests.get(repository, digest);
    if (held !== undefined) {
      // It was pushed again elsewhere.
      await gate.addManifest(
        repository,
        async () => await catalog.merging.manifest(repository, { ...held, pushedAtMs: atMs }),
      );
      return true;
    }
    const found = await peer.manifest(repository, digest, options);
    if (found === undefined) return false;
    const { manifest } = readPushedManifest(found.bytes, found.mediaType, digest);
    for (const part of depth < MAX_DEPTH ? manifest.manifests : []) {
      const isThere = await this.#takeManifest({ repository, digest: part, atMs }, peer, options, depth + 1);
      // It is as it is there: a part may be deleted while its index is kept.
      if (!isThere)
        log.info({ repository, digest: part, seed: peer.name }, 'an index of another seed lacks a part there too');
    }
    for (const blob of manifest.blobs) await this.#takeBlob(repository, blob, peer, options);
    await gate.addManifest(repository, async () => {
      for (const blob of manifest.blobs) await this.#requireBlob(repository, blob, options);
      await catalog.merging.manifest(repository, { ...manifest, pushedAtMs: atMs });
    });
    return true;
  }

  async #takeBlob(repository: RepositoryName, digest: Digest, peer: PeerSeed, options: Options): Promise<void> {
    const { catalog, clock, gate, storage } = this.#deps;
    await this.#blobs.run(
      digest,
      async () =>
        await gate.useBlob(digest, async () => {
          if ((await storage.blobs.stat(digest, options)) === undefined)
            await peer.bringBlob(repository, digest, options);
          const stored = await storage.blobs.stat(digest, options);
          if (stored === undefined)
            throw replicationError(
              'ERR_REPLICATION_NEEDS',
              `nobody gives ${digest}, which an image of ${repository} needs`,
            );
          const link = { digest, sizeBytes: stored.sizeBytes, linkedAtMs: clock.nowMs() };
          await gate.addLink(repository, async () => await catalog.blobs.put(repository, link));
        }),
    );
  }

  async #requireBlob(repository: RepositoryName, digest: Digest, options: Options): Promise<void> {
    const { catalog, storage } = this.#deps;
    const isLinked = (await catalog.blobs.get(repository, digest)) !== undefined;
    if (isLinked && (await storage.blobs.stat(digest, options)) !== undefined) return;
    throw replicationError('ERR_REPLICATION_NEEDS', `${repository} lost ${digest} while its image was fetched`);
  }
}
