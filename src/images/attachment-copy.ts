/**
 * Brings what is attached to an image: what refers to it or to a manifest in it, what refers to that, and what signing tools
 * keep under tags of their own. Where the target has no list of what refers to a manifest, the list that clients keep under a tag is
 * brought up to date, without what stands in it already getting lost.
 */
import { digestOf, type Digest } from '../oci/digest.ts';
import { isManifestMediaType, MAX_MANIFEST_SIZE_BYTES, parseManifest } from '../oci/manifest.ts';
import { bareMediaType, MEDIA_TYPES } from '../oci/media-type.ts';
import { parseManifestReference, type ManifestReference } from '../oci/name.ts';
import { referrersTag } from '../oci/referrers-tag.ts';
import { formatRepository } from '../oci/repository.ts';
import type { OriginManifest } from '../origin/origin-manifest.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import { fetchAttachmentIndex, listAttachments, listReferrers, type Attachment } from './attachments.ts';
import type { BlobPushDeps } from './blob-push.ts';
import { imageError } from './errors.ts';
import type { CopyEvent, CopyPair } from './image-copy.ts';
import { pushManifest } from './manifest-push.ts';

/** What it needs of the client of registries. */
export type AttachmentCopyOrigin = Pick<
  OriginRegistry,
  'catalog' | 'passthrough' | 'fetchManifest' | 'statManifest' | 'pass'
>;

/** Where a manifest is put, and what it is attached to. */
export interface ManifestTarget {
  readonly reference: ManifestReference;
  readonly subject?: Digest | undefined;
}

export interface AttachmentCopyDeps extends BlobPushDeps {
  readonly origin: BlobPushDeps['origin'] & AttachmentCopyOrigin;
  readonly onEvent: (event: CopyEvent) => void;
  /** Copies a manifest with all that it needs, unless it is there. */
  readonly copyManifest: (manifest: OriginManifest, target: ManifestTarget, options: Options) => Promise<void>;
}

interface Options {
  readonly signal?: AbortSignal | undefined;
}

const INDEX_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerManifestList]);
/** Cosign keeps signatures, attestations and lists of parts under the digest's own tag with one of these behind it. */
const TAG_SUFFIXES = ['.sig', '.att', '.sbom'] as const;

/** Does so for any number of images of one repository; what is attached to a manifest is copied once. */
export class AttachmentCopy {
  readonly #deps: AttachmentCopyDeps;
  readonly #pair: CopyPair;
  readonly #done = new Set<Digest>();

  constructor(deps: AttachmentCopyDeps, pair: CopyPair) {
    this.#deps = deps;
    this.#pair = pair;
  }

  /** For a manifest and all that are in it. @throws {DockyardError} as for an image */
  async attachToAll(manifest: OriginManifest, options: Options): Promise<void> {
    await this.attachTo(manifest.digest, options);
    for (const { digest, mediaType } of parseManifest(manifest.bytes, manifest.mediaType).manifests) {
      const isIndex = INDEX_TYPES.has(bareMediaType(mediaType));
      const index = isIndex ? await this.#fetch({ kind: 'digest', digest }, options) : undefined;
      if (index !== undefined) await this.attachToAll(index, options);
      else if (isManifestMediaType(mediaType)) await this.attachTo(digest, options);
    }
  }

  /** For one manifest, which need not be there. @throws {DockyardError} as for an image */
  async attachTo(subject: Digest, options: Options): Promise<void> {
    // Before anything else: what is attached may be attached to each other in a circle.
    if (this.#done.has(subject)) return;
    this.#done.add(subject);
    const { origin } = this.#deps;
    const attached: Attachment[] = [];
    for await (const attachment of listAttachments(origin, this.#pair.from, subject, options)) {
      if (await this.#copy(attachment, subject, options)) attached.push(attachment);
    }
    if (attached.length > 0) await this.#list(subject, attached, options);
    await this.#copyTags(subject, options);
  }

  /** @returns false when the source does not have it */
  async #copy({ digest, mediaType, sizeBytes }: Attachment, subject: Digest, options: Options): Promise<boolean> {
    const reference = { kind: 'digest', digest } as const;
    const manifest = await this.#fetch(reference, options);
    if (manifest === undefined) {
      this.#deps.onEvent({ kind: 'manifest', digest, mediaType, sizeBytes, outcome: 'missing', subject });
      return false;
    }
    await this.#deps.copyManifest(manifest, { reference, subject }, options);
    await this.attachToAll(manifest, options);
    return true;
  }

  async #copyTags(subject: Digest, options: Options): Promise<void> {
    const references = TAG_SUFFIXES.map((suffix) => parseManifestReference(referrersTag(subject) + suffix));
    await Promise.all(references.map(async (reference) => await this.#copyTag(reference, subject, options)));
  }

  async #copyTag(reference: ManifestReference, subject: Digest, options: Options): Promise<void> {
    // Seldom there, and registries that count what is pulled do not count this question.
    if ((await this.#deps.origin.statManifest(this.#pair.from, reference, options)) === undefined) return;
    const manifest = await this.#fetch(reference, options);
    if (manifest !== undefined) await this.#deps.copyManifest(manifest, { reference, subject }, options);
  }

  /** Sees to it that the target lists what was attached. */
  async #list(subject: Digest, attached: readonly Attachment[], options: Options): Promise<void> {
    const { origin } = this.#deps;
    const { to } = this.#pair;
    const listed = new Set<Digest>();
    for await (const { digest } of (await listReferrers(origin, to, subject, options)) ?? []) listed.add(digest);
    const lacking = attached.filter(({ digest }) => !listed.has(digest));
    if (lacking.length === 0) return;
    const index = await fetchAttachmentIndex(origin, to, subject, options);
    const kept = index === undefined ? [] : parseManifest(index.bytes, index.mediaType).manifests;
    const added = lacking.filter(({ digest }) => !kept.some((entry) => entry.digest === digest));
    if (added.length > 0) await this.#putIndex(subject, [...kept, ...added], options);
  }

  async #putIndex(subject: Digest, entries: readonly Attachment[], options: Options): Promise<void> {
    const { to } = this.#pair;
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: entries.map(descriptorOf) };
    const bytes = Buffer.from(JSON.stringify(document));
    if (bytes.length > MAX_MANIFEST_SIZE_BYTES) {
      const what = `the list of the ${entries.length} manifests attached to ${subject}`;
      throw imageError('ERR_COPY_INCOMPLETE', `${formatRepository(to)} would need ${what}, which is too long for it`);
    }
    const index = { bytes, digest: digestOf(bytes), mediaType: MEDIA_TYPES.ociIndex };
    await pushManifest(this.#deps, to, index, { kind: 'tag', tag: referrersTag(subject) }, options);
  }

  async #fetch(reference: ManifestReference, options: Options): Promise<OriginManifest | undefined> {
    return await this.#deps.origin.fetchManifest(this.#pair.from, reference, options);
  }
}

function descriptorOf({ mediaType, digest, sizeBytes, artifactType, annotations }: Attachment): object {
  return {
    ...{ mediaType, digest, size: sizeBytes },
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined || Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}
