/** Lists of a seed that has very many tags and repositories: how long a first page takes, and whether memory stays flat. */
import { join } from 'node:path';
import { pino } from 'pino';
import { openCatalog } from '../../src/catalog/open-catalog.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../../src/oci/name.ts';
import type { Bench, Figure, Target } from './bench.ts';
import { BenchNet, peakResidentBytes, REPOSITORY, type BenchNode } from './bench-net.ts';
import { median, spreadOf } from './spread.ts';

const MIB = 1024 ** 2;
/** Tags that are put at once; each batch is one write. */
const BATCH = 1000;
const REPOSITORIES_AT_ONCE = 64;
const READERS = 8;
const FIRST_PAGES = 50;
/** The heap grows by half before it is collected; a whole list in memory for each reader would be several times as much. */
const FLAT_MIB = 128;

const TAGS: Target = {
  what: 'first page of the tags of a repository with very many: p50',
  bound: { direction: 'at most', value: 50, unit: ' ms' },
};
const CATALOG: Target = {
  what: 'first page of the catalog of a seed with very many repositories: p50',
  bound: { direction: 'at most', value: 50, unit: ' ms' },
};
const MEMORY: Target = {
  what: `resident memory that ${READERS} readers of both whole lists add`,
  bound: { direction: 'at most', value: FLAT_MIB, unit: ' MiB' },
};

export const seedLists: Bench = {
  name: 'seed-lists',
  summary: 'the lists of a seed with 100,000 tags in one repository, and as many repositories',
  flags: { entries: 'number of tags, and of repositories (100000)', profile: 'folder for CPU profiles of the seed' },
  targets: [TAGS, CATALOG, MEMORY],
  async run(flags, log) {
    const entries = flags.count('entries', 100_000);
    await using net = await BenchNet.open(flags.text('profile'));
    const seed = await net.startSeed(async (folder) => await fillCatalog(join(folder, 'catalog'), entries));
    const tagsMs = await firstPages(seed, `${REPOSITORY}/tags/list`);
    const catalogMs = await firstPages(seed, '_catalog');
    const beforeMiB = (await peakResidentBytes(seed)) / MIB;
    await readAll(seed, entries);
    const afterMiB = (await peakResidentBytes(seed)) / MIB;
    log(
      `  tags ${median(tagsMs).toFixed(1)} ms, catalog ${median(catalogMs).toFixed(1)} ms, peak ${afterMiB.toFixed(0)} MiB`,
    );
    const figures: Figure[] = [
      { ...TAGS, spread: spreadOf(tagsMs) },
      { ...CATALOG, spread: spreadOf(catalogMs) },
      { ...MEMORY, spread: spreadOf([afterMiB - beforeMiB]) },
    ];
    return { figures, skipped: [], details: { entries, beforeMiB, afterMiB, tagsMs, catalogMs } };
  },
};

/** Writes what pushes would have written, by the same code, without their requests. */
async function fillCatalog(folder: string, entries: number): Promise<void> {
  await using catalog = await openCatalog(folder, pino({ level: 'silent' }));
  const bytes = Buffer.from('{"schemaVersion":2}');
  const manifest = {
    digest: digestOf(bytes),
    mediaType: MEDIA_TYPES.ociManifest,
    sizeBytes: bytes.length,
    pushedAtMs: Date.now(),
    annotations: {},
    blobs: [],
    manifests: [],
    bytes,
  };
  for (let at = 0; at < entries; at += BATCH) {
    const tags = Array.from({ length: Math.min(BATCH, entries - at) }, (_, index) => tagOf(at + index));
    await catalog.manifests.put(nameOf(REPOSITORY), manifest, tags);
  }
  for (let at = 0; at < entries; at += REPOSITORIES_AT_ONCE) {
    const names = Array.from({ length: Math.min(REPOSITORIES_AT_ONCE, entries - at) }, (_, index) => at + index);
    await Promise.all(
      names.map(async (number) => await catalog.manifests.put(nameOf(`many/app-${number}`), manifest, [tagOf(0)])),
    );
  }
}

function tagOf(number: number): Tag {
  const text = `build-${String(number).padStart(7, '0')}`;
  if (!isTag(text)) throw new TypeError(`${text} is no tag`);
  return text;
}

function nameOf(text: string): RepositoryName {
  if (!isRepositoryName(text)) throw new TypeError(`${text} is no name`);
  return text;
}

/** Milliseconds for the first page, again and again. */
async function firstPages(seed: BenchNode, path: string): Promise<number[]> {
  const took: number[] = [];
  while (took.length < FIRST_PAGES) {
    const startMs = performance.now();
    await readPage(seed, `/v2/${path}`);
    took.push(performance.now() - startMs);
  }
  return took;
}

/** Every reader follows the links of both lists to their ends. @throws {Error} when entries are missing */
async function readAll(seed: BenchNode, entries: number): Promise<void> {
  const reader = async (path: string, expected: number): Promise<void> => {
    let count = 0;
    for (let next: string | undefined = path; next !== undefined;) {
      const page: Page = await readPage(seed, next);
      count += page.count;
      next = page.next;
    }
    if (count !== expected) throw new Error(`${path} has ${count} entries, not ${expected}`);
  };
  const readers = Array.from({ length: READERS }, async () => {
    await reader(`/v2/${REPOSITORY}/tags/list`, entries);
    await reader('/v2/_catalog', entries + 1);
  });
  await Promise.all(readers);
}

interface Page {
  readonly count: number;
  readonly next: string | undefined;
}

async function readPage(seed: BenchNode, path: string): Promise<Page> {
  const answer = await fetch(`http://${seed.process.facade}${path}`);
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  const document = (await answer.json()) as { tags?: string[]; repositories?: string[] };
  const next = /<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1];
  return { count: (document.tags ?? document.repositories ?? []).length, next };
}
