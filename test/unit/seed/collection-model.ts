/** What a seed holds as plain data, and what a collection leaves of it, said as simply as possible. */
import type { Catalog } from '../../../src/catalog/catalog.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import type { RepositoryName } from '../../../src/oci/name.ts';
import type { BlobStorage } from '../../../src/storage/blob-storage.ts';
import { listAll } from '../../contract/blob-store-fixtures.ts';

/** Times in milliseconds, by digest or tag. */
type Times = Record<string, number>;

export interface RepositoryState {
  readonly links: Times;
  readonly manifests: Times;
  readonly tags: Record<string, { readonly digest: Digest; readonly updatedAtMs: number }>;
}

export interface SeedState {
  readonly repositories: Record<string, RepositoryState>;
  readonly stored: Times;
}

/** By what a collection is told to decide. */
export interface PlainRules {
  readonly nowMs: number;
  readonly graceMs: number;
  readonly untagged: boolean;
  /** Tags that begin with `v` are kept, and so many newest, and those pushed within so long; no rule when undefined. */
  readonly retention:
    | { readonly keepNewest: number; readonly keepPushedWithinMs: number; readonly keepPulledWithinMs?: number }
    | undefined;
}

export const NAMES = ['a', 'team/b', 'team/c'] as RepositoryName[];
export const BLOBS = Array.from({ length: 6 }, (_, index) => Buffer.from(`bytes of blob ${index}`));
const BLOB_DIGESTS = BLOBS.map((bytes) => digestOf(bytes));

/** A manifest that the model may push. */
export interface ModelManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly blobs: readonly number[];
  readonly manifests: readonly ModelManifest[];
  readonly subject: Digest | undefined;
}

function descriptorOf(bytes: Buffer, mediaType: string): object {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function image(config: number, layers: readonly number[], subject?: ModelManifest): ModelManifest {
  const blob = (index: number): Buffer => BLOBS[index] ?? Buffer.alloc(0);
  const mediaType = MEDIA_TYPES.ociManifest;
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: descriptorOf(blob(config), MEDIA_TYPES.ociConfig),
      layers: layers.map((layer) => descriptorOf(blob(layer), MEDIA_TYPES.ociLayerGzip)),
      ...(subject === undefined ? {} : { subject: descriptorOf(subject.bytes, subject.mediaType) }),
    }),
  );
  const digest = digestOf(bytes);
  return { bytes, digest, mediaType, blobs: [config, ...layers], manifests: [], subject: subject?.digest };
}

function index(...manifests: readonly ModelManifest[]): ModelManifest {
  const mediaType = MEDIA_TYPES.ociIndex;
  const described = manifests.map((manifest) => descriptorOf(manifest.bytes, manifest.mediaType));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: described }));
  return { bytes, digest: digestOf(bytes), mediaType, blobs: [], manifests, subject: undefined };
}

const [first, second, third] = [image(0, [1]), image(0, [2]), image(3, [4, 1])];
const inner = index(first, second);
const signature = image(5, [], first);

/** Images, an index within an index, a signature, and what is attached to the signature. */
export const MANIFESTS: readonly ModelManifest[] = [
  first,
  second,
  third,
  inner,
  index(inner, third),
  signature,
  image(5, [2], signature),
];

const BY_DIGEST = new Map(MANIFESTS.map((manifest) => [manifest.digest as string, manifest]));

/** Tags that may be pushed; the last is attached to the first image. */
export const TAGS: readonly string[] = ['latest', 'v1', 'v2', 'old', 'nightly', first.digest.replace(':', '-')];

/** What is held. Repositories with nothing in them are left out. */
export async function readState(catalog: Catalog, storage: BlobStorage): Promise<SeedState> {
  const repositories: Record<string, RepositoryState> = {};
  for (const name of NAMES) {
    const links = await listAll(catalog.blobs.list(name));
    const manifests = await listAll(catalog.manifests.list(name));
    const state: RepositoryState = {
      links: Object.fromEntries(links.map(({ digest, linkedAtMs }) => [digest, linkedAtMs])),
      manifests: Object.fromEntries(manifests.map(({ digest, pushedAtMs }) => [digest, pushedAtMs])),
      tags: Object.fromEntries(await listAll(catalog.tags.entries(name))),
    };
    if (Object.values(state).some((part) => Object.keys(part as object).length > 0)) repositories[name] = state;
  }
  const stored = await listAll(storage.blobs.list());
  return { repositories, stored: Object.fromEntries(stored.map(({ digest, storedAtMs }) => [digest, storedAtMs])) };
}

/**
 * What a collection leaves.
 * @param follow whether what is attached to a manifest lives with it
 */
export function collectPlainly(state: SeedState, rules: PlainRules, follow = true): SeedState {
  const repositories: Record<string, RepositoryState> = {};
  const needed = new Set<string>();
  for (const [name, before] of Object.entries(state.repositories)) {
    const tags = keepTags(before, rules);
    const manifests = keepManifests({ ...before, tags }, rules, follow);
    const used = new Set(
      Object.keys(manifests).flatMap((digest) =>
        (BY_DIGEST.get(digest)?.blobs ?? []).map((blob) => BLOB_DIGESTS[blob]),
      ),
    );
    const links = keep(before.links, (digest, atMs) => isYoung(atMs, rules) || used.has(digest as Digest));
    for (const digest of [...used, ...Object.keys(links)]) needed.add(digest ?? '');
    const after = { links, manifests, tags };
    if (Object.values(after).some((part) => Object.keys(part).length > 0)) repositories[name] = after;
  }
  return { repositories, stored: keep(state.stored, (digest, atMs) => isYoung(atMs, rules) || needed.has(digest)) };
}

function keepTags(before: RepositoryState, { nowMs, retention }: PlainRules): RepositoryState['tags'] {
  if (retention === undefined) return before.tags;
  const isAttached = (tag: string): boolean => Object.hasOwn(before.manifests, tag.replace('sha256-', 'sha256:'));
  const newest = Object.entries(before.tags)
    .filter(([tag]) => !isAttached(tag))
    .toSorted(([tag, a], [other, b]) => b.updatedAtMs - a.updatedAtMs || (tag < other ? -1 : 1))
    .slice(0, retention.keepNewest)
    .map(([tag]) => tag);
  return keep(
    before.tags,
    (tag, { updatedAtMs }) =>
      isAttached(tag) ||
      tag.startsWith('v') ||
      newest.includes(tag) ||
      (retention.keepPushedWithinMs > 0 && updatedAtMs > nowMs - retention.keepPushedWithinMs),
  );
}

function keepManifests(before: RepositoryState, rules: PlainRules, follow: boolean): Times {
  if (!rules.untagged) return before.manifests;
  const live = new Set<string>(Object.values(before.tags).map(({ digest }) => digest));
  for (const [digest, atMs] of Object.entries(before.manifests)) if (isYoung(atMs, rules)) live.add(digest);
  let size = -1;
  while (size < live.size) {
    size = live.size;
    for (const digest of Object.keys(before.manifests)) {
      const manifest = BY_DIGEST.get(digest);
      if (follow && manifest?.subject !== undefined && live.has(manifest.subject)) {
        // A subject that is not there keeps nothing alive.
        if (Object.hasOwn(before.manifests, manifest.subject)) live.add(digest);
      }
      if (live.has(digest)) for (const part of manifest?.manifests ?? []) live.add(part.digest);
    }
  }
  return keep(before.manifests, (digest) => live.has(digest));
}

function isYoung(atMs: number, { nowMs, graceMs }: PlainRules): boolean {
  return atMs >= nowMs - graceMs;
}

function keep<Value>(
  record: Readonly<Record<string, Value>>,
  isKept: (key: string, value: Value) => boolean,
): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).filter(([key, value]) => isKept(key, value)));
}

/** Everything that is in a state, as text: to ask whether all of one is in another. */
export function itemsOf({ repositories, stored }: SeedState): Set<string> {
  const items = Object.keys(stored).map((digest) => `blob ${digest}`);
  for (const [name, { links, manifests, tags }] of Object.entries(repositories)) {
    for (const digest of Object.keys(links)) items.push(`link ${name} ${digest}`);
    for (const digest of Object.keys(manifests)) items.push(`manifest ${name} ${digest}`);
    for (const [tag, { digest }] of Object.entries(tags)) items.push(`tag ${name} ${tag} ${digest}`);
  }
  return new Set(items);
}
