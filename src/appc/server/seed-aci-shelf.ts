/** App container images in the repositories of a seed, as OCI artifacts. */
import type { Catalog } from '../../catalog/catalog.ts';
import { digestOf, type Digest } from '../../oci/digest.ts';
import { isDockyardError } from '../../oci/error.ts';
import { parseManifest } from '../../oci/manifest.ts';
import { HOSTED_HERE } from '../../oci/repository.ts';
import type { SeedBlobs, SeedContext } from '../../seed/seed-blobs.ts';
import type { SeedManifests } from '../../seed/seed-manifests.ts';
import type { SeedUploads } from '../../seed/seed-uploads.ts';
import { parseImageId } from '../values/image-id.ts';
import { labelsOfTag, repositoryOf, tagOf, type AciKey } from './aci-key.ts';
import {
  ACI_MEDIA_TYPES,
  type AciReading,
  type AciRecord,
  type AciShelf,
  type KeptBytes,
  type ShelfOptions,
  type ShelvedAci,
  type StagedAci,
} from './aci-shelf.ts';
import { isLater, type DatedVersion } from './version-order.ts';

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const IMAGE_ID_ANNOTATION = 'appc.image.id';
const TITLE_ANNOTATION = 'org.opencontainers.image.title';

export interface SeedAciShelfDeps {
  /** Those of the seed whose policy lets images of this kind in. */
  readonly uploads: SeedUploads;
  readonly manifests: SeedManifests;
  readonly blobs: SeedBlobs;
  readonly catalog: Pick<Catalog, 'tags'>;
}

/** Over the registry of a seed, which is closed by whoever opened it. */
export class SeedAciShelf implements AciShelf {
  readonly #deps: SeedAciShelfDeps;

  constructor(deps: SeedAciShelfDeps) {
    this.#deps = deps;
  }

  async find(key: AciKey, options: ShelfOptions): Promise<ShelvedAci | undefined> {
    const found = await this.#deps.manifests.get({ kind: 'tag', tag: tagOf(key) }, contextOf(key, options));
    if (found === undefined) return undefined;
    const { annotations, layers } = parseManifest(found.bytes, found.mediaType);
    const aci = layers.find(({ mediaType }) => mediaType === ACI_MEDIA_TYPES.aci);
    const signature = layers.find(({ mediaType }) => mediaType === ACI_MEDIA_TYPES.signature);
    const imageId = annotations[IMAGE_ID_ANNOTATION];
    if (aci === undefined || imageId === undefined) return undefined;
    const artifact = { repository: repositoryOf(key.name), tag: tagOf(key), ...found };
    return { key, imageId: parseImageId(imageId), aci, signature, artifact };
  }

  async latest({ name, os, arch }: Omit<AciKey, 'version'>, options: ShelfOptions): Promise<DatedVersion | undefined> {
    let latest: DatedVersion | undefined;
    for await (const [tag, { updatedAtMs }] of this.#deps.catalog.tags.entries(repositoryOf(name))) {
      options.signal.throwIfAborted();
      const labels = labelsOfTag(tag);
      if (labels?.os !== os || labels.arch !== arch) continue;
      const found = { version: labels.version, pushedAtMs: updatedAtMs };
      if (latest === undefined || isLater(found, latest)) latest = found;
    }
    return latest;
  }

  async open(key: AciKey, digest: Digest, options: ShelfOptions): Promise<AciReading | undefined> {
    return await this.#deps.blobs.open(digest, contextOf(key, options));
  }

  async stage(key: Pick<AciKey, 'name'>, options: ShelfOptions): Promise<StagedAci> {
    const { uploads } = this.#deps;
    const { id } = await uploads.begin(contextOf(key, options));
    let isOpen = true;
    return {
      append: async (body, options) => {
        await uploads.append(id, { body }, contextOf(key, options));
      },
      publish: async (record, options) => {
        const { digest, sizeBytes } = await uploads.finish(id, record.digest, undefined, contextOf(key, options));
        isOpen = false;
        return await this.#publish(record, { digest, sizeBytes }, options);
      },
      drop: async () => {
        if (!isOpen) return;
        isOpen = false;
        try {
          await uploads.cancel(id, contextOf(key, { signal: new AbortController().signal }));
        } catch (error) {
          // It ended by itself, or expired.
          if (!isDockyardError(error, 'ERR_UPLOAD_UNKNOWN')) throw error;
        }
      },
    };
  }

  async sign(found: ShelvedAci, signature: Buffer, options: ShelfOptions): Promise<ShelvedAci> {
    const context = contextOf(found.key, options);
    const kept = await this.#deps.manifests.get({ kind: 'tag', tag: tagOf(found.key) }, context);
    const config = kept === undefined ? undefined : parseManifest(kept.bytes, kept.mediaType).config;
    if (config === undefined) return found;
    return await this.#putArtifact({ ...found, signature: await this.#keep(signature, context) }, config, options);
  }

  async delete(key: AciKey, options: ShelfOptions): Promise<void> {
    await this.#deps.manifests.delete({ kind: 'tag', tag: tagOf(key) }, contextOf(key, options));
  }

  async #publish(record: AciRecord, aci: KeptBytes, options: ShelfOptions): Promise<ShelvedAci> {
    const context = contextOf(record.key, options);
    const config = await this.#keep(record.manifest, context);
    const signature = record.signature === undefined ? undefined : await this.#keep(record.signature, context);
    const { imageId, key } = record;
    return await this.#putArtifact({ key, imageId, aci, signature }, config, options);
  }

  /** The tag moves here and only here, when all else is there. */
  async #putArtifact(
    found: Omit<ShelvedAci, 'artifact'>,
    config: KeptBytes,
    options: ShelfOptions,
  ): Promise<ShelvedAci> {
    const { aci, imageId, key, signature } = found;
    const file = `${key.name.slice(key.name.lastIndexOf('/') + 1)}-${key.version}-${key.os}-${key.arch}.aci`;
    const layers = [layerOf(ACI_MEDIA_TYPES.aci, aci, file)];
    if (signature !== undefined) layers.push(layerOf(ACI_MEDIA_TYPES.signature, signature, `${file}.asc`));
    const document = {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: ACI_MEDIA_TYPES.artifact,
      config: { mediaType: ACI_MEDIA_TYPES.manifest, digest: config.digest, size: config.sizeBytes },
      layers,
      annotations: { [IMAGE_ID_ANNOTATION]: imageId },
    };
    const bytes = Buffer.from(JSON.stringify(document));
    const reference = { kind: 'tag', tag: tagOf(key) } as const;
    const push = { reference, tags: [], contentType: OCI_MANIFEST, bytes };
    const { digest, mediaType } = await this.#deps.manifests.put(push, contextOf(key, options));
    const artifact = { repository: repositoryOf(key.name), tag: reference.tag, digest, mediaType, bytes };
    return { ...found, artifact };
  }

  async #keep(bytes: Buffer, context: SeedContext): Promise<KeptBytes> {
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(bytes);
    };
    const { digest, sizeBytes } = await this.#deps.uploads.put(digestOf(bytes), { body: body() }, context);
    return { digest, sizeBytes };
  }
}

function contextOf({ name }: Pick<AciKey, 'name'>, { signal }: ShelfOptions): SeedContext {
  return { repository: { upstream: HOSTED_HERE, name: repositoryOf(name) }, signal };
}

function layerOf(mediaType: string, { digest, sizeBytes }: KeptBytes, title: string): object {
  return { mediaType, digest, size: sizeBytes, annotations: { [TITLE_ANNOTATION]: title } };
}
