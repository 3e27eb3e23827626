/**
 * Copies images between repositories: what they need first, the manifest that makes them visible last. What the target has is
 * not sent again, so a copy that was broken off goes on where it was when it is run again.
 */
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { isManifestMediaType, parseManifest } from '../oci/manifest.ts';
import type { ManifestReference, Tag } from '../oci/name.ts';
import { subjectOfTag } from '../oci/referrers-tag.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import { ConnectionSlots } from '../origin/connection-slots.ts';
import type { OriginManifest } from '../origin/origin-manifest.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import { AttachmentCopy, type AttachmentCopyOrigin, type ManifestTarget } from './attachment-copy.ts';
import { pushBlob, type BlobPushDeps, type PushedBlob } from './blob-push.ts';
import { imageError } from './errors.ts';
import { requireManifest } from './inspection.ts';
import { pushManifest } from './manifest-push.ts';

export interface ImageCopyDeps extends BlobPushDeps {
  readonly origin: Pick<OriginRegistry, 'statBlob' | 'openBlob'> & AttachmentCopyOrigin;
  readonly onEvent: (event: CopyEvent) => void;
}

export interface ImageCopyConfig {
  /** Blobs that are sent at once. */
  readonly jobs: number;
  /** Signatures, lists of parts and all else that is attached to an image or to a part of it is copied too. */
  readonly withAttachments?: boolean;
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
      /** The source may list as attached what it does not have. */
      readonly outcome: 'there' | 'sent' | 'missing';
      /** Where it is the image itself, and no part of it. */
      readonly tag?: Tag | undefined;
      /** What it is attached to. */
      readonly subject?: Digest | undefined;
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
  readonly #attachments: AttachmentCopy | undefined;
  readonly #blobs = new Map<Digest, Promise<void>>();
  readonly #manifests = new Map<Digest, Promise<void>>();

  constructor(deps: ImageCopyDeps, pair: CopyPair, { jobs, withAttachments = false }: ImageCopyConfig) {
    this.#deps = deps;
    this.#pair = pair;
    this.#slots = new ConnectionSlots(jobs);
    if (!withAttachments) return;
    const copyManifest = async (manifest: OriginManifest, target: ManifestTarget, options: Options): Promise<void> => {
      const copy = async (): Promise<void> => await this.#whole(manifest, target, options);
      if (target.reference.kind === 'tag') await copy();
      else await once(this.#manifests, manifest.digest, copy);
    };
    this.#attachments = new AttachmentCopy({ ...deps, copyManifest }, pair);
  }

  /**
   * Copies one image with all of its platforms.
   * @param tag under which it is to be at the target; without one it is there by its digest
   * @throws {DockyardError} ERR_IMAGE_UNKNOWN, ERR_COPY_INCOMPLETE, ERR_REGISTRY_REFUSED, ERR_MANIFEST_INVALID; those of ORIGIN_ERRORS
   */
  async run(source: ManifestReference, tag: Tag | undefined, options: Options = {}): Promise<Digest> {
    const manifest = await requireManifest(this.#deps.origin, this.#pair.from, source, options);
    const { digest } = manifest;
    const byDigest: ManifestTarget = { reference: { kind: 'digest', digest } };
    const target: ManifestTarget = tag === undefined ? byDigest : { reference: { kind: 'tag', tag } };
    const subject = tag !== undefined && source.kind === 'tag' && source.tag === tag ? subjectOfTag(tag) : undefined;
    if (this.#attachments !== undefined && subject !== undefined) {
      // The tag is a list that clients keep of what is attached, which is told to the target in its own way.
      await this.#attachments.attachTo(subject, options);
      return digest;
    }
    if (this.#attachments !== undefined) {
      // The tag comes last: whoever finds an image by it finds its signatures too.
      if (tag !== undefined) await this.#bring(manifest, byDigest, options);
      else await this.#whole(manifest, byDigest, options);
      await this.#attachments.attachToAll(manifest, options);
      if (tag === undefined) return digest;
    }
    await this.#whole(manifest, target, options);
    return digest;
  }

  /** A manifest with all that it needs, unless the target has it. */
  async #whole(manifest: OriginManifest, target: ManifestTarget, options: Options): Promise<void> {
    this.#told(manifest, await this.#bring(manifest, target, options), target);
  }

  async #bring(
    manifest: OriginManifest,
    target: ManifestTarget,
    options: Options,
    depth = 0,
  ): Promise<'there' | 'sent'> {
    const { to } = this.#pair;
    const there = await this.#deps.origin.statManifest(to, target.reference, options);
    if (there?.digest === manifest.digest) return 'there';
    await this.#parts(manifest, depth, options);
    await pushManifest(this.#deps, to, manifest, target.reference, options);
    return 'sent';
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
      this.#told({ ...there, bytes: there.bytes ?? Buffer.alloc(0) }, 'there', { reference }, there.sizeBytes);
      return;
    }
    const manifest = await origin.fetchManifest(from, reference, options);
    if (manifest === undefined) {
      throw imageError('ERR_COPY_INCOMPLETE', `${formatRepository(from)} lacks ${digest}, which its index names`);
    }
    await this.#parts(manifest, depth + 1, options);
    await pushManifest(this.#deps, to, manifest, reference, options);
    this.#told(manifest, 'sent', { reference });
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

  #told(
    { digest, mediaType, bytes }: OriginManifest,
    outcome: 'there' | 'sent',
    { reference, subject }: ManifestTarget,
    sizeBytes = bytes.length,
  ): void {
    this.#deps.onEvent({
      ...{ kind: 'manifest', digest, mediaType, outcome, sizeBytes },
      ...(reference.kind === 'tag' ? { tag: reference.tag } : {}),
      ...(subject === undefined ? {} : { subject }),
    });
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
