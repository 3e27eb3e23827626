/**
 * Copies images between repositories: what they need first, the manifest that makes them visible last. What the target has is
 * not sent again, so a copy that was broken off goes on where it was when it is run again.
 */
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { isManifestMediaType, parseManifest } from '../oci/manifest.ts';
import type { ManifestReference, Tag } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import { ConnectionSlots } from '../origin/connection-slots.ts';
import type { OriginManifest } from '../origin/origin-manifest.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import { passPatiently, pushBlob, type BlobPushDeps, type PushedBlob } from './blob-push.ts';
import { imageError } from './errors.ts';
import { requireManifest } from './inspection.ts';
import { refusal } from './refusal.ts';

export interface ImageCopyDeps extends BlobPushDeps {
  readonly origin: Pick<OriginRegistry, 'statBlob' | 'openBlob' | 'pass' | 'fetchManifest' | 'statManifest'>;
  readonly onEvent: (event: CopyEvent) => void;
}

export interface ImageCopyConfig {
  /** Blobs that are sent at once. */
  readonly jobs: number;
}

/** From where to where. */
export interface CopyPair {
  readonly from: Repository;
  readonly to: Repository;
}

/** What happens. */
export type CopyEvent =
  | { readonly kind: 'progress'; readonly digest: Digest; readonly sentBytes: number; readonly sizeBytes: number }
  | {
      readonly kind: 'blob';
      readonly digest: Digest;
      readonly sizeBytes: number;
      /** Foreign layers are fetched by clients from where they come from, and are not copied. */
      readonly outcome: PushedBlob['outcome'] | 'foreign';
    }
  | {
      readonly kind: 'manifest';
      readonly digest: Digest;
      readonly sizeBytes: number;
      readonly mediaType: string;
      readonly outcome: 'there' | 'sent';
      /** Where it is the image itself, and no part of it. */
      readonly tag?: Tag | undefined;
    };

interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** Layers whose license forbids to pass them on. */
const FOREIGN = /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)/;
/** An index may name indexes; nobody nests them so deep. */
const MAX_DEPTH = 8;

/** Copies any number of images to one repository; what they share is sent once. */
export class ImageCopy {
  readonly #deps: ImageCopyDeps;
  readonly #pair: CopyPair;
  readonly #slots: ConnectionSlots;
  readonly #blobs = new Map<Digest, Promise<void>>();
  readonly #manifests = new Map<Digest, Promise<void>>();

  constructor(deps: ImageCopyDeps, pair: CopyPair, { jobs }: ImageCopyConfig) {
    this.#deps = deps;
    this.#pair = pair;
    this.#slots = new ConnectionSlots(jobs);
  }

  /**
   * Copies one image with all of its platforms.
   * @param tag under which it is to be at the target; without one it is there by its digest
   * @throws {DockyardError} ERR_IMAGE_UNKNOWN, ERR_COPY_INCOMPLETE, ERR_REGISTRY_REFUSED, ERR_MANIFEST_INVALID; those of ORIGIN_ERRORS
   */
  async run(source: ManifestReference, tag: Tag | undefined, options: Options = {}): Promise<Digest> {
    const manifest = await requireManifest(this.#deps.origin, this.#pair.from, source, options);
    const { digest } = manifest;
    const target: ManifestReference = tag === undefined ? { kind: 'digest', digest } : { kind: 'tag', tag };
    const there = await this.#deps.origin.statManifest(this.#pair.to, target, options);
    if (there?.digest === digest) this.#told(manifest, 'there', tag);
    else {
      await this.#parts(manifest, 0, options);
      await this.#put(manifest, target, options);
    }
    return digest;
  }

  /** What a manifest needs. */
  async #parts(manifest: OriginManifest, depth: number, options: Options): Promise<void> {
    if (depth > MAX_DEPTH) throw imageError('ERR_COPY_INCOMPLETE', `indexes are nested deeper than ${MAX_DEPTH}`);
    const { config, layers, manifests, unsizedLayers } = parseManifest(manifest.bytes, manifest.mediaType);
    const blobs: Pick<Descriptor, 'digest' | 'mediaType' | 'sizeBytes'>[] = [
      ...(config === undefined ? [] : [config]),
      ...layers,
      ...unsizedLayers.map((digest) => ({ digest, mediaType: '', sizeBytes: 0 })),
      // Caches of builds list layers in an index.
      ...manifests.filter(({ mediaType }) => !isManifestMediaType(mediaType)),
    ];
    const stop = new AbortController();
    const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const work = [
      ...blobs.map(async (blob) => await this.#blob(blob, { signal })),
      this.#children(manifests, depth, { signal }),
    ];
    try {
      await Promise.all(work);
    } catch (error) {
      stop.abort();
      await Promise.allSettled(work);
      throw error;
    }
  }

  async #children(children: readonly Descriptor[], depth: number, options: Options): Promise<void> {
    for (const { digest, mediaType } of children) {
      if (!isManifestMediaType(mediaType)) continue;
      await once(this.#manifests, digest, async () => await this.#child(digest, depth, options));
    }
  }

  async #child(digest: Digest, depth: number, options: Options): Promise<void> {
    const { origin } = this.#deps;
    const { from, to } = this.#pair;
    const reference = { kind: 'digest', digest } as const;
    const there = await origin.statManifest(to, reference, options);
    if (there !== undefined) {
      this.#told({ ...there, bytes: there.bytes ?? Buffer.alloc(0) }, 'there', undefined, there.sizeBytes);
      return;
    }
    const manifest = await origin.fetchManifest(from, reference, options);
    if (manifest === undefined) {
      throw imageError('ERR_COPY_INCOMPLETE', `${formatRepository(from)} lacks ${digest}, which its index names`);
    }
    await this.#parts(manifest, depth + 1, options);
    await this.#put(manifest, reference, options);
  }

  async #blob(
    { digest, mediaType, sizeBytes }: Pick<Descriptor, 'digest' | 'mediaType' | 'sizeBytes'>,
    options: Options,
  ): Promise<void> {
    const { onEvent } = this.#deps;
    await once(this.#blobs, digest, async () => {
      if (FOREIGN.test(mediaType)) {
        onEvent({ kind: 'blob', digest, sizeBytes, outcome: 'foreign' });
        return;
      }
      const release = await this.#slots.acquire(options);
      try {
        const onSent = (sentBytes: number, wholeBytes: number): void =>
          onEvent({ kind: 'progress', digest, sentBytes, sizeBytes: wholeBytes });
        const pushed = await pushBlob(this.#deps, { ...this.#pair, digest, onSent }, options);
        onEvent({ kind: 'blob', digest, ...pushed });
      } finally {
        release();
      }
    });
  }

  async #put(manifest: OriginManifest, target: ManifestReference, options: Options): Promise<void> {
    const { to } = this.#pair;
    const { bytes, digest, mediaType } = manifest;
    const reference = target.kind === 'tag' ? target.tag : target.digest;
    async function* body(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(bytes);
    }
    const headers = { 'content-type': mediaType, 'content-length': String(bytes.length) };
    const makeRequest = () => ({ method: 'PUT', rest: `manifests/${reference}`, headers, body: body() }) as const;
    const answer = await passPatiently(this.#deps, to, makeRequest, options);
    if (answer.status < 200 || answer.status > 299) throw refusal(to, `the manifest ${digest}`, answer);
    const kept = answer.headers['docker-content-digest'];
    if (kept !== undefined && kept !== digest && target.kind === 'digest') {
      throw imageError('ERR_COPY_INCOMPLETE', `${formatRepository(to)} kept ${kept} and not ${digest}`);
    }
    this.#told(manifest, 'sent', target.kind === 'tag' ? target.tag : undefined);
  }

  #told(
    { digest, mediaType, bytes }: OriginManifest,
    outcome: 'there' | 'sent',
    tag: Tag | undefined,
    sizeBytes = bytes.length,
  ): void {
    const told = { kind: 'manifest', digest, mediaType, outcome, sizeBytes } as const;
    this.#deps.onEvent(tag === undefined ? told : { ...told, tag });
  }
}

/** Does work for a key once, however many want it done. A failed one may be tried again. */
async function once(done: Map<Digest, Promise<void>>, digest: Digest, work: () => Promise<void>): Promise<void> {
  const running = done.get(digest) ?? work();
  done.set(digest, running);
  try {
    await running;
  } catch (error) {
    if (done.get(digest) === running) done.delete(digest);
    throw error;
  }
}
