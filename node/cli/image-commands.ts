/** `images`, `tags`, `rm`: what is in a registry, and taking it out. */
import type { Command } from 'commander';
import { deleteManifest } from '../../src/images/removal.ts';
import { listRepositories, listTags } from '../../src/images/registry-lists.ts';
import { inBatches } from '../../src/oci/batches.ts';
import { asError, isDockyardError } from '../../src/oci/error.ts';
import { formatManifestReference, type ManifestReference, type Tag } from '../../src/oci/name.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import { nodeError } from '../errors.ts';
import { showCount, showDigest, showTable } from '../text-forms.ts';
import type { CommandContext } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { kindOfMediaType } from './inspect-command.ts';
import {
  addRegistryFlags,
  openRegistries,
  referenceOf,
  RegistryNames,
  type NamedImage,
  type RegistryOptions,
} from './registry-access.ts';
import { print, type Terminal } from './terminal.ts';

/** Repositories and tags that are asked about at once, and shown together. */
const BATCH = 32;
/** So many characters of a repository's tags are shown. */
const SHOWN_TAGS_WIDTH = 48;

/** Adds the commands. */
export function addImageCommands(program: Command, context: CommandContext): void {
  addRegistryFlags(
    program
      .command('images')
      .description('the repositories of a registry, and their tags')
      .argument('[REGISTRY]', 'HOST:PORT of another registry than the usual one'),
  ).action(
    async (registry: string | undefined, options: RegistryOptions) => await showImages(registry, options, context),
  );
  addRegistryFlags(
    program.command('tags').description('the tags of a repository, and what they stand for').argument('<REPOSITORY>'),
  ).action(async (text: string, options: RegistryOptions) => await showTags(text, options, context));
  addRegistryFlags(
    program
      .command('rm')
      .description('delete tags (team/app:v1), or images with all of their tags (team/app@sha256:…)')
      .argument('<IMAGE...>'),
  )
    .option('--all-tags', 'every tag of the repositories that are named')
    .action(async (texts: string[], options: RegistryOptions & { allTags?: boolean }) => {
      await removeImages(texts, options, context);
    });
}

async function showImages(
  registryText: string | undefined,
  options: RegistryOptions,
  { terminal, facts }: CommandContext,
): Promise<void> {
  const place = new RegistryNames(options, facts).registry(registryText);
  await using origin = await openRegistries([place], options, facts);
  let hasHead = false;
  for await (const names of inBatches(listRepositories(origin, place.name), BATCH)) {
    const found = await Promise.all(
      names.map(async (name) => ({ repository: name, tags: await tagsOf(origin, { upstream: place.name, name }) })),
    );
    if (options.json === true) for (const line of found) print(terminal, JSON.stringify(line));
    else {
      const rows = found.map(({ repository, tags }) => [repository, String(tags.length), shownTags(tags)]);
      printRows(terminal, ['repository', 'count', 'tags'], rows, hasHead);
    }
    hasHead = true;
  }
  if (!hasHead && options.json !== true) print(terminal, `no images at ${place.name}`);
}

/** None of a repository that was deleted meanwhile, or that has manifests alone. */
async function tagsOf(origin: OriginRegistry, repository: NamedImage['repository']): Promise<Tag[]> {
  const tags: Tag[] = [];
  try {
    for await (const tag of listTags(origin, repository)) tags.push(tag);
  } catch (error) {
    if (!isDockyardError(error, 'ERR_IMAGE_UNKNOWN')) throw error;
  }
  return tags;
}

function shownTags(tags: readonly Tag[]): string {
  let text = '';
  for (const [index, tag] of tags.entries()) {
    const next = index === 0 ? tag : `${text}, ${tag}`;
    if (next.length > SHOWN_TAGS_WIDTH && index > 0) return `${text}, …`;
    text = next;
  }
  return text;
}

async function showTags(text: string, options: RegistryOptions, { terminal, facts }: CommandContext): Promise<void> {
  const image = new RegistryNames(options, facts).image(text);
  if (image.tag !== undefined || image.digest !== undefined)
    throw nodeError('ERR_USAGE', `'${text}' names one image; name a repository, or use \`dockyard inspect\``);
  const { registry, repository } = image;
  await using origin = await openRegistries([registry], options, facts);
  let hasHead = false;
  for await (const tags of inBatches(listTags(origin, repository), BATCH)) {
    const found = await Promise.all(tags.map(async (tag) => ({ tag, ...(await origin.resolveTag(repository, tag)) })));
    if (options.json === true) {
      for (const { tag, digest, mediaType } of found) print(terminal, JSON.stringify({ tag, digest, mediaType }));
    } else {
      const rows = found.map(({ tag, digest, mediaType }) => [
        tag,
        mediaType === undefined ? 'gone' : kindOfMediaType(mediaType),
        digest === undefined ? '' : showDigest(digest),
      ]);
      printRows(terminal, ['tag', 'kind', 'digest'], rows, hasHead);
    }
    hasHead = true;
  }
  if (!hasHead && options.json !== true) print(terminal, `no tags in ${text}`);
}

async function removeImages(
  texts: readonly string[],
  options: RegistryOptions & { allTags?: boolean },
  context: CommandContext,
): Promise<void> {
  const { terminal, facts } = context;
  const names = new RegistryNames(options, facts);
  const allTags = options.allTags === true;
  // All that is wrong with the command line, before anything is deleted.
  const images = texts.map((text) => {
    const image = names.image(text);
    const isOne = image.tag !== undefined || image.digest !== undefined;
    if (isOne && allTags) throw nodeError('ERR_USAGE', `--all-tags: '${text}' names one image; name the repository`);
    if (!isOne && !allTags)
      throw nodeError('ERR_USAGE', `'${text}' names no tag and no digest; --all-tags deletes all tags of it`);
    return image;
  });
  const places = images.map(({ registry }) => registry);
  await using origin = await openRegistries(places, options, facts);
  const outcome = { deleted: 0, failed: 0 };
  for (const image of images) {
    for await (const reference of referencesOf(origin, image, allTags)) {
      await removeOne({ origin, image, reference, outcome, terminal }, options);
    }
  }
  const { deleted, failed } = outcome;
  if (options.json !== true) {
    print(
      terminal,
      `${showCount(deleted, 'reference')} deleted${failed === 0 ? '' : `, ${failed} failed`}; \`dockyard gc\` frees the space`,
    );
  }
  context.exitWith(failed === 0 ? EXIT.ok : EXIT.failed);
}

/** A list that is deleted from while it is read would lose pages: it is read first. */
async function* referencesOf(
  origin: OriginRegistry,
  image: NamedImage,
  allTags: boolean,
): AsyncGenerator<ManifestReference> {
  if (!allTags) {
    yield referenceOf(image);
    return;
  }
  const tags: Tag[] = [];
  for await (const tag of listTags(origin, image.repository)) tags.push(tag);
  for (const tag of tags) yield { kind: 'tag', tag };
}

interface OneRemoval {
  readonly origin: OriginRegistry;
  readonly image: NamedImage;
  readonly reference: ManifestReference;
  readonly outcome: { deleted: number; failed: number };
  readonly terminal: Terminal;
}

async function removeOne(
  { origin, image, reference, outcome, terminal }: OneRemoval,
  { json }: RegistryOptions,
): Promise<void> {
  const { repository } = image;
  const what = {
    registry: repository.upstream,
    repository: repository.name,
    reference: formatManifestReference(reference),
  };
  try {
    await deleteManifest(origin, repository, reference);
    outcome.deleted += 1;
    if (json === true) print(terminal, JSON.stringify({ ...what, deleted: true }));
    else print(terminal, `deleted  ${repository.name}${reference.kind === 'tag' ? ':' : '@'}${what.reference}`);
  } catch (error) {
    // What is wrong with one says nothing of the others; a registry that cannot be reached does.
    if (!isDockyardError(error, 'ERR_IMAGE_UNKNOWN') && !isDockyardError(error, 'ERR_REGISTRY_REFUSED')) throw error;
    outcome.failed += 1;
    const { message } = asError(error);
    if (json === true) print(terminal, JSON.stringify({ ...what, deleted: false, code: error.code, message }));
    else terminal.err.write(`dockyard: ${message} (${error.code})\n`);
  }
}

function printRows(terminal: Terminal, head: readonly string[], rows: readonly string[][], hasHead: boolean): void {
  for (const line of showTable(head, rows).slice(hasHead ? 1 : 0)) print(terminal, line);
}
