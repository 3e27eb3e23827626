/** Lists of a registry: its repositories, the tags of one, what is attached to a manifest. Read page by page as the caller goes along. */
import { z } from 'zod';
import type { Digest } from '../oci/digest.ts';
import { isDigest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import { originError } from '../origin/errors.ts';
import type { OriginList } from '../origin/origin-list.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import { imageError } from './errors.ts';

/** What these lists need of the client of registries. */
export type ListingOrigin = Pick<OriginRegistry, 'catalog' | 'passthrough'>;

interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** Something attached to a manifest: a signature, a list of parts. */
export interface Attachment {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly artifactType?: string | undefined;
}

const PAGE = 1000;
/** A registry that links its pages in a circle would never end. */
const MAX_PAGES = 1_000_000;

const catalogPage = z.object({ repositories: z.array(z.string()).nullish() });
const tagsPage = z.object({ tags: z.array(z.string()).nullish() });
const referrersPage = z.object({
  manifests: z
    .array(
      z.object({
        digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)),
        mediaType: z.string(),
        size: z.number(),
        artifactType: z.string().optional(),
      }),
    )
    .nullish(),
});

/**
 * The names of the repositories of a registry.
 * @throws {DockyardError} ERR_LIST_UNSUPPORTED; those of ORIGIN_ERRORS
 */
export async function* listRepositories(
  origin: ListingOrigin,
  registry: string,
  options: Options = {},
): AsyncGenerator<RepositoryName> {
  const fetchPage = async (search: string): Promise<OriginList | undefined> => {
    try {
      return await origin.catalog(registry, search, options);
    } catch (cause) {
      if (!isDockyardError(cause, 'ERR_ORIGIN_DENIED')) throw cause;
      throw imageError('ERR_LIST_UNSUPPORTED', `${registry} does not let its repositories be listed`, { cause });
    }
  };
  const missing = (): Error => imageError('ERR_LIST_UNSUPPORTED', `${registry} does not list its repositories`);
  for await (const { repositories } of pages(registry, catalogPage, fetchPage, missing)) {
    for (const name of repositories ?? []) if (isRepositoryName(name)) yield name;
  }
}

/**
 * The tags of a repository, in the order that the registry gives them.
 * @throws {DockyardError} ERR_IMAGE_UNKNOWN; those of ORIGIN_ERRORS
 */
export async function* listTags(
  origin: ListingOrigin,
  repository: Repository,
  options: Options = {},
): AsyncGenerator<Tag> {
  const name = formatRepository(repository);
  const fetchPage = async (search: string): Promise<OriginList | undefined> =>
    await origin.passthrough(repository, { kind: 'tags' }, search, options);
  const missing = (): Error => imageError('ERR_IMAGE_UNKNOWN', `there is no repository ${name}`);
  for await (const { tags } of pages(repository.upstream, tagsPage, fetchPage, missing)) {
    for (const tag of tags ?? []) if (isTag(tag)) yield tag;
  }
}

/** What is attached to a manifest; nothing where the registry cannot tell. @throws {DockyardError} those of ORIGIN_ERRORS */
export async function* listAttachments(
  origin: ListingOrigin,
  repository: Repository,
  digest: Digest,
  options: Options = {},
): AsyncGenerator<Attachment> {
  const fetchPage = async (search: string): Promise<OriginList | undefined> =>
    await origin.passthrough(repository, { kind: 'referrers', digest }, search, options);
  for await (const { manifests } of pages(repository.upstream, referrersPage, fetchPage)) {
    for (const { size, ...rest } of manifests ?? []) yield { ...rest, sizeBytes: size };
  }
}

/** @param missing what to throw when the first page is not there; without it that is an empty list */
async function* pages<Shape extends z.ZodType>(
  registry: string,
  shape: Shape,
  fetchPage: (search: string) => Promise<OriginList | undefined>,
  missing?: () => Error,
): AsyncGenerator<z.output<Shape>> {
  let search: string | undefined = `n=${PAGE}`;
  for (let count = 0; search !== undefined && count < MAX_PAGES; count += 1) {
    const page: OriginList | undefined = await fetchPage(search);
    if (page === undefined) {
      if (count === 0 && missing !== undefined) throw missing();
      return;
    }
    if (page.status !== 200) throw badPage(registry, `answers a request for a list with ${page.status}`);
    yield readPage(registry, shape, page.bytes);
    search = page.nextSearch === search ? undefined : page.nextSearch;
  }
}

function readPage<Shape extends z.ZodType>(registry: string, shape: Shape, bytes: Buffer): z.output<Shape> {
  try {
    return shape.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw badPage(registry, 'gives a list that is none', cause);
  }
}

function badPage(registry: string, what: string, cause?: unknown): Error {
  return originError('ERR_ORIGIN_BAD_ANSWER', `${registry} ${what}`, { cause, details: { upstream: registry } });
}
