/**
 * The lists of a seed: tags, repositories, referrers. All are read from the catalog in pages.
 * @see OCI distribution-spec v1.1, end-8 and end-12
 */
import type { Catalog, Referrer } from '../catalog/catalog.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import { parseManifest } from '../oci/manifest.ts';
import { MEDIA_TYPES } from '../oci/media-type.ts';
import { referrersTag } from '../oci/referrers-tag.ts';
import { seedError } from './errors.ts';
import type { SeedContext } from './seed-blobs.ts';

/** A page for a client. A `link` among the headers holds the query of the next page and no path. */
export interface SeedList {
  readonly status: number;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** What a page holds when the client does not say, and at most: a larger answer would only be read more slowly. */
export const MAX_PAGE_ENTRIES = 1000;
/** Referrers carry annotations: a page is to stay below the 4 MiB that clients read. */
const MAX_REFERRERS_PAGE_BYTES = 2 * 1024 * 1024;

export class SeedLists {
  readonly #catalog: Catalog;

  constructor(deps: { readonly catalog: Catalog }) {
    this.#catalog = deps.catalog;
  }

  /** Tags in the order of their bytes; `undefined` for a repository that is not there. @throws {DockyardError} ERR_PAGE_INVALID */
  async tags(search: string, { repository }: Pick<SeedContext, 'repository'>): Promise<SeedList | undefined> {
    const { name } = repository;
    const page = readPage(search);
    if (!(await this.#catalog.repositories.has(name))) return undefined;
    const tags = await this.#catalog.tags.list(name, { after: page.last, limit: page.limit + 1 });
    return listOf(page, tags, (shown) => ({ name, tags: shown }));
  }

  /** Names of repositories. @throws {DockyardError} ERR_PAGE_INVALID */
  async repositories(search: string): Promise<SeedList> {
    const page = readPage(search);
    const names = await this.#catalog.repositories.list({ after: page.last, limit: page.limit + 1 });
    return listOf(page, names, (shown) => ({ repositories: shown }));
  }

  /** What refers to a manifest, those included that old clients list under the fallback tag. Never undefined. */
  async referrers(digest: Digest, search: string, { repository }: Pick<SeedContext, 'repository'>): Promise<SeedList> {
    const query = new URLSearchParams(search);
    const artifactType = query.get('artifactType') ?? undefined;
    const last = query.get('last') ?? undefined;
    const isWanted = (referrer: { artifactType?: string | undefined }): boolean =>
      artifactType === undefined || referrer.artifactType === artifactType;
    const { name } = repository;
    const manifests: Record<string, unknown>[] = [];
    let sizeBytes = 0;
    let next: Digest | undefined;
    const after = last !== undefined && isDigest(last) ? last : undefined;
    for await (const referrer of this.#catalog.manifests.referrers(name, digest, after)) {
      if (!isWanted(referrer)) continue;
      const descriptor = descriptorOf(referrer);
      sizeBytes += JSON.stringify(descriptor).length;
      if (manifests.length > 0 && (sizeBytes > MAX_REFERRERS_PAGE_BYTES || manifests.length >= MAX_PAGE_ENTRIES)) {
        next = manifests.at(-1)?.['digest'] as Digest;
        break;
      }
      manifests.push(descriptor);
    }
    if (next === undefined) {
      for (const descriptor of await this.#fallback(name, digest)) {
        if (isWanted(descriptor)) manifests.push(descriptorOf(descriptor));
      }
    }
    const headers: Record<string, string> = {};
    if (artifactType !== undefined) headers['oci-filters-applied'] = 'artifactType';
    if (next !== undefined) {
      const rest = new URLSearchParams({ ...(artifactType === undefined ? {} : { artifactType }), last: next });
      headers['link'] = `<?${rest.toString()}>; rel="next"`;
    }
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
    return { status: 200, contentType: MEDIA_TYPES.ociIndex, headers, bytes: Buffer.from(JSON.stringify(document)) };
  }

  /** Manifests under the tag that stands for the API where there is none, as far as they are not found by their subject. */
  async #fallback(name: RepositoryName, subject: Digest): Promise<Descriptor[]> {
    const entry = await this.#catalog.tags.get(name, referrersTag(subject));
    const index = entry === undefined ? undefined : await this.#catalog.manifests.get(name, entry.digest);
    if (index?.mediaType !== MEDIA_TYPES.ociIndex) return [];
    const listed: Descriptor[] = [];
    for (const descriptor of parseManifest(index.bytes, index.mediaType).manifests) {
      const facts = await this.#catalog.manifests.stat(name, descriptor.digest);
      // With a subject it stands in the list already, if the subject is this one.
      if (facts !== undefined && facts.subject === undefined) listed.push(descriptor);
    }
    return listed;
  }
}

interface PageQuery {
  readonly limit: number;
  readonly last: string | undefined;
  /** Whether a link to the next page makes sense. */
  readonly isCounting: boolean;
}

function readPage(search: string): PageQuery {
  const query = new URLSearchParams(search);
  const [text, ...others] = query.getAll('n');
  if (others.length > 0 || (text !== undefined && !/^\d{1,20}$/.test(text))) {
    throw seedError('ERR_PAGE_INVALID', 'n is not a whole number, zero or more');
  }
  const limit = text === undefined ? MAX_PAGE_ENTRIES : Math.min(Number(text), MAX_PAGE_ENTRIES);
  return { limit, last: query.get('last') ?? undefined, isCounting: limit > 0 };
}

/** @param found one more than the page holds, when there are more */
function listOf(page: PageQuery, found: readonly string[], document: (shown: readonly string[]) => object): SeedList {
  const shown = found.slice(0, page.limit);
  const last = shown.at(-1);
  const headers: Record<string, string> = {};
  if (page.isCounting && found.length > page.limit && last !== undefined) {
    headers['link'] = `<?${new URLSearchParams({ n: String(page.limit), last }).toString()}>; rel="next"`;
  }
  return { status: 200, contentType: 'application/json', headers, bytes: Buffer.from(JSON.stringify(document(shown))) };
}

function descriptorOf(referrer: Referrer | Descriptor): Record<string, unknown> {
  const { mediaType, digest, sizeBytes, artifactType, annotations } = referrer;
  return {
    mediaType,
    digest,
    size: sizeBytes,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}
