/**
 * Changes that were made at another seed, brought together with those that were made here. What stands follows from the
 * changes alone, however often and in whatever order they come; test/unit/catalog/merge-model.test.ts proves it.
 *
 * Two things always hold: a tag points to a manifest that is there, and no tag is newer than its manifest. So a deletion of a
 * manifest that outdoes the manifest is newer than all tags that point to it, and takes them.
 */
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/name.ts';
import type { CatalogManifest, Merging, MergeOutcome } from './catalog.ts';
import { isTagReference, outdoes, type Change } from './changes.ts';
import { deletedWith, tagRemoval, type ImageEntries, type ImageEntriesDeps } from './image-entries.ts';

export interface ImageMergeDeps extends ImageEntriesDeps {
  readonly images: ImageEntries;
}

export class ImageMerge implements Merging {
  readonly #deps: ImageMergeDeps;

  constructor(deps: ImageMergeDeps) {
    this.#deps = deps;
  }

  async isNews(change: Change): Promise<boolean> {
    return outdoes(change, await this.#deps.log.standing(change));
  }

  async manifest(repository: RepositoryName, manifest: CatalogManifest): Promise<MergeOutcome> {
    const { images, locks, log } = this.#deps;
    const { digest, pushedAtMs: atMs } = manifest;
    const change: Change = { repository, reference: digest, digest, atMs };
    return await locks.run(repository, async () => {
      if (!(await this.isNews(change))) return 'known';
      await log.write({ changes: [change] }, images.manifestWrites(repository, manifest));
      return 'merged';
    });
  }

  async tag(
    repository: RepositoryName,
    tag: Tag,
    { digest, atMs }: { readonly digest: Digest; readonly atMs: number },
  ): Promise<MergeOutcome> {
    const { images, locks, log } = this.#deps;
    const change: Change = { repository, reference: tag, digest, atMs };
    return await locks.run(repository, async () => {
      if (!(await this.isNews(change))) return 'known';
      const standing = await log.standing({ repository, reference: digest });
      if (standing !== undefined && standing.digest === undefined && standing.atMs >= atMs) {
        // What it points to was deleted after it was set, by somebody who did not know of it.
        await this.#removeTag({ repository, reference: tag, atMs }, tag);
        return 'merged';
      }
      const manifest = await images.manifest(repository, digest);
      if (manifest === undefined) return 'lacking';
      const writes = await images.tagWrites(repository, tag, { digest, updatedAtMs: atMs });
      const changes = [change];
      if (manifest.pushedAtMs < atMs) {
        // A tag is set by pushing its manifest, which is on its way as a change of its own.
        writes.push(...images.manifestWrites(repository, { ...manifest, pushedAtMs: atMs }));
        changes.push({ repository, reference: digest, digest, atMs });
      }
      await log.write({ changes }, writes);
      return 'merged';
    });
  }

  async deletion(change: Change): Promise<MergeOutcome> {
    const { images, locks, log } = this.#deps;
    const { repository, reference } = change;
    return await locks.run(repository, async () => {
      if (!(await this.isNews(change))) return 'known';
      if (isTagReference(reference)) {
        await this.#removeTag(change, reference);
        return 'merged';
      }
      const facts = await images.facts(repository, reference);
      // Also what is not here is noted: it may come later, from a third seed.
      if (facts === undefined) await log.write({ changes: [change] }, []);
      else {
        const { tags, writes } = await images.removalWrites(repository, facts);
        await log.write({ changes: [change, ...deletedWith(repository, tags)] }, writes);
      }
      return 'merged';
    });
  }

  async #removeTag(change: Change, tag: Tag): Promise<void> {
    const { images, log } = this.#deps;
    const entry = await images.tag(change.repository, tag);
    await log.write({ changes: [change] }, entry === undefined ? [] : tagRemoval(change.repository, tag, entry));
  }
}
