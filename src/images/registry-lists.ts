/** Lists of a registry: its repositories, the tags of one, and any other. Read page by page as the caller goes along. */
import { z } from 'zod';
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

const FIRST_PAGE = 'n=1000';
/** A registry that links its pages in a circle would never end. */
const MAX_PAGES = 1_000_000;

const catalogPage = z.object({ repositories: z.array(z.string()).nullish() });
const tagsPage = z.object({ tags: z.array(z.string()).nullish() });
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
  const pages = await listPages(registry, catalogPage, fetchPage);
  if (pages === undefined) throw imageError('ERR_LIST_UNSUPPORTED', `${registry} does not list its repositories`);
  for await (const { repositories } of pages) {
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
  const pages = await listPages(repository.upstream, tagsPage, fetchPage);
  if (pages === undefined) throw imageError('ERR_IMAGE_UNKNOWN', `there is no repository ${name}`);
  for await (const { tags } of pages) {
    for (const tag of tags ?? []) if (isTag(tag)) yield tag;
  }
}

/** The pages of a list, the first one read; `undefined` where there is no such list. @throws {DockyardError} those of ORIGIN_ERRORS */
export async function listPages<Shape extends z.ZodType>(
  registry: string,
  shape: Shape,
  fetchPage: (search: string) => Promise<OriginList | undefined>,
): Promise<AsyncIterable<z.output<Shape>> | undefined> {
  const first = await fetchPage(FIRST_PAGE);
  return first === undefined ? undefined : pagesFrom(registry, shape, first, fetchPage);
}

async function* pagesFrom<Shape extends z.ZodType>(
  registry: string,
  shape: Shape,
  first: OriginList,
  fetchPage: (search: string) => Promise<OriginList | undefined>,
): AsyncGenerator<z.output<Shape>> {
  let page: OriginList | undefined = first;
  let search = FIRST_PAGE;
  for (let count = 0; page !== undefined && count < MAX_PAGES; count += 1) {
    if (page.status !== 200) throw badPage(registry, `answers a request for a list with ${page.status}`);
    yield readPage(registry, shape, page.bytes);
    const { nextSearch }: OriginList = page;
    if (nextSearch === undefined || nextSearch === search) return;
    search = nextSearch;
    page = await fetchPage(search);
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
