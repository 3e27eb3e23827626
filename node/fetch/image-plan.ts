/** What an image comes to: its manifests, which are read to know, and the blobs that they name. */
import { manifestMediaType, type OriginManifest } from '../../src/origin/origin-manifest.ts';
import type { Descriptor, Platform } from '../../src/oci/descriptor.ts';
import { digestOf, digestAlgorithm, type Digest } from '../../src/oci/digest.ts';
import { isManifestMediaType, parseManifest, type Manifest } from '../../src/oci/manifest.ts';
import type { ManifestReference } from '../../src/oci/name.ts';
import { choosePlatform, formatPlatform } from '../../src/oci/platform.ts';
import { formatRepository, type Repository } from '../../src/oci/repository.ts';
import { fetchError } from './errors.ts';

/** An image with many platforms has some dozens of manifests. */
const MAX_MANIFESTS = 1000;

/** An index may name indexes; more levels than this have no use. */
const MAX_DEPTH = 8;

/** Where manifests come from. */
export interface ManifestSource {
  /** @returns `undefined` when there is none */
  fetchManifest(
    repository: Repository,
    reference: ManifestReference,
    options: { signal?: AbortSignal | undefined },
  ): Promise<OriginManifest | undefined>;
}

/** A manifest that is part of an image. */
export interface PlannedManifest extends OriginManifest {
  readonly platform?: Platform | undefined;
}

/** All that makes an image. */
export interface ImagePlan {
  /** What was asked for; for a chosen platform, the manifest of that. */
  readonly top: PlannedManifest;
  /** Every manifest once, `top` first. */
  readonly manifests: readonly PlannedManifest[];
  /** Every blob once. */
  readonly blobs: readonly Descriptor[];
}

/** Which image. */
export interface PlanQuestion {
  readonly repository: Repository;
  readonly reference: ManifestReference;
  /** The one of an index that is wanted; all of them when left out. */
  readonly platform?: Platform | undefined;
}

/**
 * Reads the manifests of an image.
 * @param held bytes of a manifest that were fetched before, to be looked at before `source` is asked
 * @returns `undefined` when the source has no such image
 * @throws {DockyardError} ERR_FETCH_ABSENT when a part of it is not there, ERR_FETCH_UNSUPPORTED, ERR_FETCH_MISMATCH,
 *   ERR_MANIFEST_INVALID, and what the source throws
 */
export async function planImage(
  deps: { readonly source: ManifestSource; readonly held: (digest: Digest) => Promise<Buffer | undefined> },
  question: PlanQuestion,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ImagePlan | undefined> {
  const plan = new Planning(deps, question.repository, options);
  const found = await plan.find(question.reference);
  if (found === undefined) return undefined;
  const top = question.platform === undefined ? found : await plan.choose(found, question.platform);
  await plan.add(top, 0);
  return plan.result(top);
}

class Planning {
  readonly #deps: Parameters<typeof planImage>[0];
  readonly #repository: Repository;
  readonly #options: { signal?: AbortSignal | undefined };
  readonly #manifests = new Map<Digest, PlannedManifest>();
  readonly #blobs = new Map<Digest, Descriptor>();

  constructor(
    deps: Parameters<typeof planImage>[0],
    repository: Repository,
    options: { signal?: AbortSignal | undefined },
  ) {
    this.#deps = deps;
    this.#repository = repository;
    this.#options = options;
  }

  /** What a digest names and is held needs no source. */
  async find(reference: ManifestReference): Promise<PlannedManifest | undefined> {
    const bytes = reference.kind === 'digest' ? await this.#heldManifest(reference.digest) : undefined;
    const mediaType = bytes === undefined ? undefined : manifestMediaType(bytes, undefined);
    if (reference.kind === 'digest' && bytes !== undefined && mediaType !== undefined) {
      return { digest: reference.digest, mediaType, bytes };
    }
    return await this.#deps.source.fetchManifest(this.#repository, reference, this.#options);
  }

  result(top: PlannedManifest): ImagePlan {
    return { top, manifests: [...this.#manifests.values()], blobs: [...this.#blobs.values()] };
  }

  async add(manifest: PlannedManifest, depth: number): Promise<void> {
    if (this.#manifests.has(manifest.digest)) return;
    if (depth > MAX_DEPTH || this.#manifests.size >= MAX_MANIFESTS) {
      throw fetchError(
        'ERR_FETCH_UNSUPPORTED',
        `the image has more than ${MAX_MANIFESTS} manifests or ${MAX_DEPTH} levels`,
      );
    }
    this.#manifests.set(manifest.digest, manifest);
    const document = readManifest(manifest);
    const { config, layers } = document;
    for (const blob of [...(config === undefined ? [] : [config]), ...layers]) this.#addBlob(blob);
    for (const child of document.manifests) {
      // An index may list what is no manifest at all; that is a blob like others.
      if (!isManifestMediaType(child.mediaType)) this.#addBlob(child);
      else if (!this.#manifests.has(child.digest)) await this.add(await this.#child(child), depth + 1);
    }
  }

  /** The manifest for a platform, through as many indexes as it takes. */
  async choose(from: PlannedManifest, platform: Platform): Promise<PlannedManifest> {
    let current = from;
    for (let depth = 0; depth <= MAX_DEPTH; depth += 1) {
      const document = readManifest(current);
      if (document.kind !== 'index') return current;
      const chosen = choosePlatform(document.manifests, platform);
      if (chosen === undefined) {
        const offered = document.manifests.flatMap((child) => child.platform ?? []).map(formatPlatform);
        const names = offered.length === 0 ? 'no platform at all' : [...new Set(offered)].slice(0, 20).join(', ');
        throw fetchError(
          'ERR_FETCH_UNSUPPORTED',
          `the image is not for ${formatPlatform(platform)}; it names ${names}`,
        );
      }
      current = await this.#child(chosen);
    }
    throw fetchError('ERR_FETCH_UNSUPPORTED', `the image has more than ${MAX_DEPTH} levels of indexes`);
  }

  #addBlob(blob: Descriptor): void {
    const known = this.#blobs.get(blob.digest);
    if (known === undefined) this.#blobs.set(blob.digest, blob);
    else if (known.sizeBytes !== blob.sizeBytes) {
      const sizes = `${known.sizeBytes} and ${blob.sizeBytes} bytes`;
      throw fetchError('ERR_FETCH_MISMATCH', `the manifests of the image give ${blob.digest} two sizes: ${sizes}`);
    }
  }

  async #child(descriptor: Descriptor): Promise<PlannedManifest> {
    const { digest, mediaType, platform, sizeBytes } = descriptor;
    const bytes = (await this.#heldManifest(digest)) ?? (await this.#fetchChild(digest));
    if (bytes.length !== sizeBytes) {
      throw fetchError('ERR_FETCH_MISMATCH', `${digest} has ${bytes.length} bytes, and ${sizeBytes} by the index`);
    }
    return { digest, mediaType, bytes, platform };
  }

  async #heldManifest(digest: Digest): Promise<Buffer | undefined> {
    const bytes = await this.#deps.held(digest);
    return bytes !== undefined && digestOf(bytes, digestAlgorithm(digest)) === digest ? bytes : undefined;
  }

  async #fetchChild(digest: Digest): Promise<Buffer> {
    const reference: ManifestReference = { kind: 'digest', digest };
    const found = await this.#deps.source.fetchManifest(this.#repository, reference, this.#options);
    if (found !== undefined) return found.bytes;
    throw fetchError(
      'ERR_FETCH_ABSENT',
      `${formatRepository(this.#repository)} has an index that names ${digest}, but not that manifest; --platform fetches one alone`,
      { details: { digest } },
    );
  }
}

function readManifest(manifest: PlannedManifest): Manifest {
  const document = parseManifest(manifest.bytes, manifest.mediaType);
  if (document.kind !== 'schema1') return document;
  throw fetchError(
    'ERR_FETCH_UNSUPPORTED',
    `the image has a manifest of Docker's schema 1 (${manifest.digest}), which a layout cannot hold`,
  );
}
