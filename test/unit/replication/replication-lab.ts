/** Two seeds in memory, of which one follows the other: without a network, with a clock that does not wait. */
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Catalog } from '../../../src/catalog/catalog.ts';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import type { RepositoryName, Tag } from '../../../src/oci/name.ts';
import { originError } from '../../../src/origin/errors.ts';
import { systemClock, type Clock } from '../../../src/origin/clock.ts';
import { ChangeFeed } from '../../../src/replication/change-feed.ts';
import { ChangeIntake } from '../../../src/replication/change-intake.ts';
import { formatChanges, parseChanges } from '../../../src/replication/change-page.ts';
import type { PeerSeed } from '../../../src/replication/peer-seed.ts';
import { Replication } from '../../../src/replication/replication.ts';
import { readPushedManifest } from '../../../src/seed/pushed-manifest.ts';
import { PushGate } from '../../../src/seed/push-gate.ts';
import { SeedPolicy } from '../../../src/seed/seed-policy.ts';
import type { BlobStorage } from '../../../src/storage/blob-storage.ts';
import { MemoryBlobStorage } from '../../../src/storage/memory-blob-storage.ts';

const silent = pino({ level: 'silent' });

/** The real time, but pauses are short. */
const clock: Clock = {
  nowMs: () => Date.now(),
  sleep: async (delayMs, options) => await systemClock.sleep(Math.min(delayMs, 5), options),
};

/** An image whose parts follow from `text`. */
export interface TestImage {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly blobs: readonly Buffer[];
}

export function imageOf(text: string): TestImage {
  const blobs = [`config of ${text}`, `layer of ${text}`].map((each) => Buffer.from(each));
  const describe = (mediaType: string, bytes: Buffer): object => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const [config = Buffer.alloc(0), layer = Buffer.alloc(0)] = blobs;
  const mediaType = MEDIA_TYPES.ociManifest;
  const layers = [describe(MEDIA_TYPES.ociLayerGzip, layer)];
  const document = { schemaVersion: 2, mediaType, config: describe(MEDIA_TYPES.ociConfig, config), layers };
  const bytes = Buffer.from(JSON.stringify(document));
  return { digest: digestOf(bytes), bytes, mediaType, blobs };
}

/** An index of images that are pushed before it. */
export function indexOf(images: readonly TestImage[]): TestImage {
  const mediaType = MEDIA_TYPES.ociIndex;
  const manifests = images.map(({ digest, bytes, mediaType: type }) => ({
    mediaType: type,
    digest,
    size: bytes.length,
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  return { digest: digestOf(bytes), bytes, mediaType, blobs: [] };
}

/** A seed without its registry. */
export class TestSeed {
  readonly catalog: Catalog;
  readonly storage: BlobStorage = new MemoryBlobStorage({ clock });
  readonly #values: ReadonlyMap<string, Buffer>;
  readonly gate = new PushGate();
  readonly feed: ChangeFeed;
  /** While it is down nobody gets an answer. */
  isDown = false;
  /** Blobs that it was asked for. */
  readonly given: Digest[] = [];

  private constructor(catalog: Catalog, values: ReadonlyMap<string, Buffer>) {
    this.catalog = catalog;
    this.#values = values;
    this.feed = new ChangeFeed({ changes: catalog.changes });
  }

  /** @param values the catalog of a seed before it, or a backup of one */
  static async open(values = new Map<string, Buffer>()): Promise<TestSeed> {
    return new TestSeed(await KeyedCatalog.over(new MemoryKeyValue(values)), values);
  }

  /** The catalog as it is now, of which `open` makes a seed that has no blobs yet. */
  backup(): Map<string, Buffer> {
    return new Map(this.#values);
  }

  async push(name: RepositoryName, image: TestImage, tags: readonly string[], atMs = Date.now()): Promise<void> {
    for (const bytes of image.blobs) {
      await this.keep(bytes);
      await this.catalog.blobs.put(name, { digest: digestOf(bytes), sizeBytes: bytes.length, linkedAtMs: atMs });
    }
    const { manifest } = readPushedManifest(image.bytes, image.mediaType, image.digest);
    await this.catalog.manifests.put(name, { ...manifest, pushedAtMs: atMs }, tags as Tag[]);
  }

  async keep(bytes: Buffer): Promise<void> {
    const upload = await this.storage.uploads.create();
    await upload.append(chunksOf(bytes));
    await upload.commit(digestOf(bytes));
  }

  /** This seed as `reader` sees it. */
  seenBy(reader: TestSeed, name = 'other'): PeerSeed {
    const answer = (): void => {
      if (this.isDown) throw originError('ERR_ORIGIN_UNAVAILABLE', `'${name}' cannot be reached`);
    };
    return {
      name,
      changes: async (question, options) => {
        answer();
        const page = await this.feed.answer({ ...question, waitMs: Math.min(question.waitMs, 20) }, options);
        answer();
        return parseChanges(formatChanges(page), name);
      },
      manifest: async (repository, digest) => (answer(), await this.catalog.manifests.get(repository, digest)),
      bringBlob: async (repository, digest) => {
        answer();
        this.given.push(digest);
        const link = await this.catalog.blobs.get(repository, digest);
        const reading = link === undefined ? undefined : await this.storage.blobs.open(digest);
        if (reading === undefined) return false;
        const chunks: Uint8Array[] = [];
        for await (const chunk of reading.read({ start: 0, end: reading.sizeBytes })) chunks.push(chunk);
        await reader.keep(Buffer.concat(chunks));
        return true;
      },
    };
  }

  /** Begins to follow others, with a queue in a folder. */
  async follow(
    folder: string,
    peers: readonly PeerSeed[],
    policy: { readonly names?: readonly string[]; readonly allowDelete?: boolean } = {},
  ): Promise<{ readonly replication: Replication; readonly metrics: Registry }> {
    const metrics = new Registry();
    const rules = { names: [], immutableTags: [], allowDelete: true, ...policy };
    const { catalog, gate, storage } = this;
    const intake = new ChangeIntake({ catalog, gate, storage, policy: new SeedPolicy(rules), clock, log: silent });
    const deps = { changes: catalog.changes, intake, peers, clock, random: () => 0, metrics, log: silent };
    const replication = await Replication.open(folder, deps, { waitMs: 50, keepDeletionsMs: 86_400_000 });
    return { replication, metrics };
  }
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
