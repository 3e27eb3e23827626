/** Makes sure that what the catalog links is of record, however the last process ended. */
import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';

export interface KeepLinkedDeps {
  readonly catalog: Pick<Catalog, 'repositories' | 'blobs'>;
  /** True when a blob is of record already. */
  readonly isKept: (digest: Digest) => boolean;
  /** Makes a held blob one of record; false when it is not held. */
  readonly keep: (digest: Digest) => Promise<boolean>;
  readonly log: Logger;
}

const PAGE = 1000;

/**
 * A loss of power may take the mark away that keeps a blob from being evicted, since it is not synced by itself; the catalog
 * is, so the mark is made again from it.
 */
export async function keepLinked({ catalog, isKept, keep, log }: KeepLinkedDeps): Promise<void> {
  let kept = 0;
  let missing = 0;
  let after: RepositoryName | undefined;
  do {
    const names: RepositoryName[] = await catalog.repositories.list({ after, limit: PAGE });
    after = names.at(-1);
    for (const name of names) {
      for await (const { digest } of catalog.blobs.list(name)) {
        if (isKept(digest)) continue;
        if (await keep(digest)) kept += 1;
        else missing += 1;
      }
    }
  } while (after !== undefined);
  if (kept > 0) log.warn({ kept }, 'blobs of record were marked anew');
  if (missing > 0) log.error({ missing }, 'blobs of record are missing; they are fetched from peers when asked for');
}
