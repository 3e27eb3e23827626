/** A seed with a collector, a clock that is set by hand, and calls that can be made to take turns. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Catalog } from '../../../src/catalog/catalog.ts';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { openContent } from '../../../src/content/open-content.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import { parseManifestReference, type RepositoryName, type Tag } from '../../../src/oci/name.ts';
import { HOSTED_HERE } from '../../../src/oci/repository.ts';
import { Collector } from '../../../src/seed/collector.ts';
import { PullTimes } from '../../../src/seed/pull-times.ts';
import { PushGate } from '../../../src/seed/push-gate.ts';
import type { SeedContext } from '../../../src/seed/seed-blobs.ts';
import { SeedPolicy } from '../../../src/seed/seed-policy.ts';
import { SeedRegistry } from '../../../src/seed/seed-registry.ts';
import type { BlobStorage } from '../../../src/storage/blob-storage.ts';
import { FsBlobStorage } from '../../../src/storage/fs-blob-storage.ts';
import { MemoryBlobStorage } from '../../../src/storage/memory-blob-storage.ts';
import { makeTemporaryDirectory } from '../../contract/blob-store-fixtures.ts';
import {
  BLOBS,
  collectPlainly,
  readState,
  type ModelManifest,
  type PlainRules,
  type SeedState,
} from './collection-model.ts';

export const HOUR_MS = 3_600_000;

/** How the collector of a lab decides. */
export type LabRules = Omit<PlainRules, 'nowMs'>;

/** What a lab keeps its blobs in. */
export interface LabStorage extends AsyncDisposable {
  readonly storage: BlobStorage;
}

/** A clock that is set by hand. */
export class LabClock {
  atMs = 1_000_000_000;

  nowMs(): number {
    return this.atMs;
  }
}

/** Storage in memory. */
export async function memoryStorage(clock: LabClock): Promise<LabStorage> {
  const storage = new MemoryBlobStorage({ clock });
  return await Promise.resolve({ storage, [Symbol.asyncDispose]: async () => await storage.close() });
}

/** Storage in a temporary folder. */
export async function diskStorage(clock: LabClock): Promise<LabStorage> {
  await using opening = new AsyncDisposableStack();
  const { path: directory } = opening.use(await makeTemporaryDirectory());
  const limits = { maxSizeBytes: 0, pinnedIsBeside: true, minFreeDiskBytes: 0, maxManifestBytes: 4 << 20, maxTags: 10 };
  const content = opening.use(
    await openContent({ clock, log: pino({ level: 'silent' }), metrics: new Registry() }, { directory, ...limits }),
  );
  const storage = opening.use(new FsBlobStorage({ record: content.record }));
  const opened = opening.move();
  return { storage, [Symbol.asyncDispose]: async () => await opened.disposeAsync() };
}

interface LabParts {
  readonly catalog: Catalog;
  readonly storage: BlobStorage;
  readonly clock: LabClock;
  /** Without it, pulls do not count, as in the model. */
  readonly pulls?: PullTimes | undefined;
}

/** Does what clients and operators do. Steps that cannot be done then (a tag that is not there) answer false. */
export class CollectionLab {
  readonly rules: LabRules;
  readonly clock: LabClock;
  readonly #catalog: Catalog;
  readonly #storage: BlobStorage;
  readonly #seed: SeedRegistry;
  readonly #collector: Collector;

  constructor({ catalog, storage, clock, pulls }: LabParts, rules: LabRules, turn: () => Promise<void>) {
    this.rules = rules;
    this.clock = clock;
    [this.#catalog, this.#storage] = [catalog, storage];
    const slow = { catalog: slowCatalog(catalog, turn), storage: slowStorage(storage, turn) };
    const policy = { names: [], immutableTags: [], allowDelete: true, graceMs: rules.graceMs };
    const swarm = { isHeld: () => false, open: async () => await Promise.resolve(undefined) };
    const parts = { ...slow, clock, gate: new PushGate(), pulls };
    this.#seed = new SeedRegistry({ ...parts, swarm, onStored: () => undefined }, policy);
    const { graceMs, untagged, retention } = rules;
    this.#collector = new Collector(
      { ...parts, policy: new SeedPolicy(policy) },
      {
        graceMs,
        untagged,
        retention: {
          keepTags: retention === undefined ? [] : ['v*'],
          keepNewest: 0,
          keepPushedWithinMs: 0,
          keepPulledWithinMs: 0,
          ...retention,
        },
      },
    );
  }

  async pushBlob(name: RepositoryName, blob: number): Promise<boolean> {
    const bytes = BLOBS[blob] ?? Buffer.alloc(0);
    const body = (async function* chunks() {
      yield await Promise.resolve(bytes);
    })();
    await this.#seed.uploads.put(digestOf(bytes), { body }, contextOf(name));
    return true;
  }

  async mount(name: RepositoryName, from: RepositoryName, blob: number): Promise<boolean> {
    const digest = digestOf(BLOBS[blob] ?? Buffer.alloc(0));
    return (await this.#seed.uploads.mount(digest, from, contextOf(name))) !== undefined;
  }

  /** As a client that asks before it pushes. */
  async isThere(name: RepositoryName, blob: number): Promise<boolean> {
    const digest = digestOf(BLOBS[blob] ?? Buffer.alloc(0));
    return (await this.#seed.blobs.stat(digest, contextOf(name))) !== undefined;
  }

  async putManifest(name: RepositoryName, manifest: ModelManifest, tag: string | undefined): Promise<boolean> {
    const { bytes, digest, mediaType: contentType } = manifest;
    const reference = parseManifestReference(tag ?? digest);
    return await succeeds(this.#seed.manifests.put({ reference, tags: [], contentType, bytes }, contextOf(name)));
  }

  /** Pushes an image with all that it needs, as clients do: what is there is not pushed. */
  async pushImage(name: RepositoryName, manifest: ModelManifest, tag: string | undefined): Promise<boolean> {
    for (const part of manifest.manifests) await this.pushImage(name, part, undefined);
    for (const blob of manifest.blobs) if (!(await this.isThere(name, blob))) await this.pushBlob(name, blob);
    return await this.putManifest(name, manifest, tag);
  }

  /** Reads an image and its blobs; false when the tag is not there. @throws when the image lacks something */
  async pull(name: RepositoryName, tag: string): Promise<boolean> {
    const context = contextOf(name);
    const found = await this.#seed.manifests.get({ kind: 'tag', tag: tag as Tag }, context);
    if (found === undefined) return false;
    for (const digest of (await this.#catalog.manifests.stat(name, found.digest))?.blobs ?? []) {
      // A client may have deleted the blob from the repository; its bytes have to be there in any case.
      if ((await this.#storage.blobs.stat(digest)) === undefined) throw new Error(`${tag} of ${name} lacks ${digest}`);
      await using reading = await this.#seed.blobs.open(digest, context);
      if (reading === undefined) continue;
      let sizeBytes = 0;
      for await (const chunk of reading.read({ start: 0, end: reading.sizeBytes })) sizeBytes += chunk.length;
      if (sizeBytes !== reading.sizeBytes) throw new Error(`${digest} ended early`);
    }
    return true;
  }

  /** The names of repositories, as clients see them. */
  async repositoryNames(): Promise<unknown> {
    return JSON.parse((await this.#seed.lists.repositories('')).bytes.toString('utf8'));
  }

  async deleteManifest(name: RepositoryName, reference: string): Promise<boolean> {
    return await succeeds(this.#seed.manifests.delete(parseManifestReference(reference), contextOf(name)));
  }

  async deleteBlob(name: RepositoryName, blob: number): Promise<boolean> {
    return await succeeds(this.#seed.blobs.delete(digestOf(BLOBS[blob] ?? Buffer.alloc(0)), contextOf(name)));
  }

  /** Collects; gives up after so many removals when told to. @returns what was removed */
  async collect({ dryRun = false, maxEvents = Infinity } = {}): Promise<string[]> {
    const events: string[] = [];
    if (maxEvents === 0) return events;
    for await (const event of this.#collector.collect({ dryRun })) {
      events.push(JSON.stringify(event));
      if (events.length >= maxEvents) break;
    }
    return events;
  }

  async state(): Promise<SeedState> {
    return await readState(this.#catalog, this.#storage);
  }

  /** What a collection would have to leave of a state just now. */
  expected(state: SeedState, follow = true): SeedState {
    return collectPlainly(state, { ...this.rules, nowMs: this.clock.nowMs() }, follow);
  }
}

/** Opens a lab, gives it to `work`, and closes it. */
export async function withLab(
  openStorage: (clock: LabClock) => Promise<LabStorage>,
  rules: LabRules,
  turns: () => number,
  work: (lab: CollectionLab) => Promise<void>,
  { countsPulls = false }: { countsPulls?: boolean } = {},
): Promise<void> {
  const clock = new LabClock();
  await using opened = await openStorage(clock);
  await using catalog = await KeyedCatalog.over(new MemoryKeyValue());
  const turn = async (): Promise<void> => {
    for (let left = turns(); left > 0; left -= 1) await nextTurn();
  };
  await using pulls = countsPulls
    ? await PullTimes.open({ catalog, clock, log: pino({ level: 'silent' }) })
    : undefined;
  await work(new CollectionLab({ catalog, storage: opened.storage, clock, pulls }, rules, turn));
}

function contextOf(name: RepositoryName): SeedContext {
  return { repository: { upstream: HOSTED_HERE, name }, signal: new AbortController().signal };
}

/** False for what a registry refuses; anything else is a fault. */
async function succeeds(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (isDockyardError(error) && /_NEEDS$|_NOT_IN_REPOSITORY$/.test(error.code)) return false;
    throw error;
  }
}

function slowCatalog(catalog: Catalog, turn: () => Promise<void>): Catalog {
  const { blobs, changes, manifests, merging, pulls, tags, repositories, sessions } = catalog;
  return {
    repositories: { ...repositories, list: async (...args) => (await turn(), await repositories.list(...args)) },
    sessions,
    pulls,
    changes,
    merging,
    blobs: {
      ...blobs,
      get: async (...args) => (await turn(), await blobs.get(...args)),
      put: async (...args) => (await turn(), await blobs.put(...args)),
      delete: async (...args) => (await turn(), await blobs.delete(...args)),
      list: (...args) => slowly(blobs.list(...args), turn),
    },
    manifests: {
      ...manifests,
      stat: async (...args) => (await turn(), await manifests.stat(...args)),
      put: async (...args) => (await turn(), await manifests.put(...args)),
      delete: async (...args) => (await turn(), await manifests.delete(...args)),
      list: (...args) => slowly(manifests.list(...args), turn),
    },
    tags: { ...tags, delete: async (...args) => (await turn(), await tags.delete(...args)) },
    close: async () => await catalog.close(),
    [Symbol.asyncDispose]: async () => await catalog.close(),
  };
}

async function* slowly<Item>(items: AsyncIterable<Item>, turn: () => Promise<void>): AsyncGenerator<Item> {
  for await (const item of items) {
    await turn();
    yield item;
  }
}

function slowStorage(storage: BlobStorage, turn: () => Promise<void>): BlobStorage {
  const { blobs, uploads } = storage;
  return {
    uploads,
    blobs: {
      ...blobs,
      stat: async (...args) => (await turn(), await blobs.stat(...args)),
      delete: async (...args) => (await turn(), await blobs.delete(...args)),
    },
    close: async () => await storage.close(),
    [Symbol.asyncDispose]: async () => await storage.close(),
  };
}
