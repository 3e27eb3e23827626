/**
 * What is attached to a manifest: signatures, lists of parts, and the like. Registries list it, or clients keep the list in an
 * index under a tag where registries do not.
 * @see OCI distribution-spec v1.1, "Listing Referrers"
 */
import { z } from 'zod';
import type { Annotations } from '../oci/descriptor.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { bareMediaType, MEDIA_TYPES } from '../oci/media-type.ts';
import { referrersTag } from '../oci/referrers-tag.ts';
import type { Repository } from '../oci/repository.ts';
import type { OriginManifest } from '../origin/origin-manifest.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import { listPages, type ListingOrigin } from './registry-lists.ts';

/** Something attached to a manifest. */
export interface Attachment {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly artifactType?: string | undefined;
  readonly annotations?: Annotations | undefined;
}

/** What a list of attachments needs of the client of registries. */
export type AttachmentOrigin = ListingOrigin & Pick<OriginRegistry, 'fetchManifest'>;

interface Options {
  readonly signal?: AbortSignal | undefined;
}

const referrersPage = z.object({
  manifests: z
    .array(
      z.object({
        digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)),
        mediaType: z.string(),
        size: z.number(),
        artifactType: z.string().nullish(),
        annotations: z.record(z.string(), z.string()).nullish(),
      }),
    )
    .nullish(),
});

/** What is attached to a manifest, by the list of the registry or else by that of its clients. @throws {DockyardError} those of ORIGIN_ERRORS */
export async function* listAttachments(
  origin: AttachmentOrigin,
  repository: Repository,
  subject: Digest,
  options: Options = {},
): AsyncGenerator<Attachment> {
  const listed = await listReferrers(origin, repository, subject, options);
  if (listed !== undefined) {
    yield* listed;
    return;
  }
  const index = await fetchAttachmentIndex(origin, repository, subject, options);
  if (index === undefined) return;
  for (const attachment of parseManifest(index.bytes, index.mediaType).manifests) yield attachment;
}

/** By the list of the registry alone; `undefined` where it has none. */
export async function listReferrers(
  origin: ListingOrigin,
  repository: Repository,
  subject: Digest,
  options: Options = {},
): Promise<AsyncIterable<Attachment> | undefined> {
  const list = { kind: 'referrers', digest: subject } as const;
  const pages = await listPages(
    repository.upstream,
    referrersPage,
    async (search) => await origin.passthrough(repository, list, search, options),
  );
  return pages === undefined ? undefined : attachmentsOf(pages);
}

/** The list that clients keep; `undefined` where there is none, or something else has its tag. */
export async function fetchAttachmentIndex(
  origin: Pick<OriginRegistry, 'fetchManifest'>,
  repository: Repository,
  subject: Digest,
  options: Options = {},
): Promise<OriginManifest | undefined> {
  const found = await origin.fetchManifest(repository, { kind: 'tag', tag: referrersTag(subject) }, options);
  return found !== undefined && bareMediaType(found.mediaType) === MEDIA_TYPES.ociIndex ? found : undefined;
}

async function* attachmentsOf(pages: AsyncIterable<z.output<typeof referrersPage>>): AsyncGenerator<Attachment> {
  for await (const { manifests } of pages) {
    for (const { size, artifactType, annotations, ...rest } of manifests ?? []) {
      yield {
        ...rest,
        sizeBytes: size,
        ...(typeof artifactType === 'string' ? { artifactType } : {}),
        ...(annotations instanceof Object ? { annotations } : {}),
      };
    }
  }
}
