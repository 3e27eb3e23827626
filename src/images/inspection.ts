/** What an image is made of, read from its manifests and configurations. */
import { z } from 'zod';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import { digestOf, digestAlgorithm, type Digest } from '../oci/digest.ts';
import { isManifestMediaType, parseManifest, type Manifest } from '../oci/manifest.ts';

import { formatManifestReference, type ManifestReference } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import type { OriginManifest } from '../origin/origin-manifest.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import { imageError, unknownImage } from './errors.ts';
import { listAttachments, type Attachment } from './registry-lists.ts';

/** What an inspection needs of the client of registries. */
export type InspectingOrigin = Pick<OriginRegistry, 'fetchManifest' | 'openBlob' | 'passthrough' | 'catalog'>;

interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** A layer or the like. */
export interface PartReport {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

/** How the image is run. */
export interface RuntimeReport {
  readonly created?: string | undefined;
  readonly platform?: string | undefined;
  readonly user?: string | undefined;
  readonly entrypoint?: readonly string[] | undefined;
  readonly command?: readonly string[] | undefined;
  readonly workingDirectory?: string | undefined;
  readonly environment?: readonly string[] | undefined;
  readonly ports?: readonly string[] | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** One manifest that is no index. */
export interface ImageReport extends PartReport {
  readonly artifactType?: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** Of configuration and layers; 0 for the oldest kind of manifest, which tells no sizes. */
  readonly contentBytes: number;
  readonly config?: PartReport | undefined;
  readonly layers: readonly PartReport[];
  /** Absent where the configuration is not that of a container. */
  readonly runtime?: RuntimeReport | undefined;
}

/** What a reference stands for. */
export interface InspectionReport extends PartReport {
  readonly repository: string;
  readonly reference: string;
  readonly kind: Manifest['kind'];
  /** Of the index itself, where it is one. */
  readonly annotations: Readonly<Record<string, string>>;
  /** One, or those of an index; a part of an index that the registry lacks has `sizeBytes` and nothing more. */
  readonly images: readonly (ImageReport | MissingImage)[];
  readonly attachments: readonly Attachment[];
}

/** A part of an index that is not there: images for some platforms may be left out when one is copied. */
export interface MissingImage extends PartReport {
  readonly isMissing: true;
  readonly platform?: string | undefined;
}

/** Configurations are documents of some kilobytes; what is larger is something else. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
/** An index with more is shown in part. */
const MAX_IMAGES = 256;

const strings = z.array(z.string()).nullish();
const runtimeShape = z.object({
  created: z.string().nullish(),
  os: z.string().nullish(),
  architecture: z.string().nullish(),
  variant: z.string().nullish(),
  config: z
    .object({
      User: z.string().nullish(),
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: z.string().nullish(),
      Env: strings,
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
});

/** `linux/arm64/v8` */
export function formatPlatform(platform: Platform | undefined): string | undefined {
  if (platform === undefined) return undefined;
  const { os, architecture, variant } = platform;
  return [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/');
}

/** The manifest itself. @throws {DockyardError} ERR_IMAGE_UNKNOWN; those of ORIGIN_ERRORS */
export async function requireManifest(
  origin: Pick<OriginRegistry, 'fetchManifest'>,
  repository: Repository,
  reference: ManifestReference,
  options: Options = {},
): Promise<OriginManifest> {
  const manifest = await origin.fetchManifest(repository, reference, options);
  if (manifest !== undefined) return manifest;
  throw unknownImage(repository, reference);
}

/**
 * Reads an image and, of an index, each of its images.
 * @throws {DockyardError} ERR_IMAGE_UNKNOWN, ERR_MANIFEST_INVALID; those of ORIGIN_ERRORS
 */
export async function inspectImage(
  origin: InspectingOrigin,
  repository: Repository,
  reference: ManifestReference,
  options: Options = {},
): Promise<InspectionReport> {
  const found = await requireManifest(origin, repository, reference, options);
  const manifest = parseManifest(found.bytes, found.mediaType);
  const images: (ImageReport | MissingImage)[] = [];
  if (manifest.kind === 'index') {
    for (const child of manifest.manifests.slice(0, MAX_IMAGES)) {
      images.push(await inspectChild(origin, repository, child, options));
    }
  } else {
    images.push(await inspectOne(origin, repository, found, manifest, options));
  }
  const attachments: Attachment[] = [];
  for await (const attachment of listAttachments(origin, repository, found.digest, options)) {
    attachments.push(attachment);
  }
  return {
    repository: formatRepository(repository),
    reference: formatManifestReference(reference),
    digest: found.digest,
    mediaType: found.mediaType,
    sizeBytes: found.bytes.length,
    kind: manifest.kind,
    annotations: manifest.annotations,
    images,
    attachments,
  };
}

async function inspectChild(
  origin: InspectingOrigin,
  repository: Repository,
  child: Descriptor,
  options: Options,
): Promise<ImageReport | MissingImage> {
  const { digest, mediaType, sizeBytes } = child;
  const found = isManifestMediaType(mediaType)
    ? await origin.fetchManifest(repository, { kind: 'digest', digest }, options)
    : undefined;
  if (found === undefined)
    return { digest, mediaType, sizeBytes, isMissing: true, platform: formatPlatform(child.platform) };
  const report = await inspectOne(origin, repository, found, parseManifest(found.bytes, found.mediaType), options);
  const platform = formatPlatform(child.platform);
  return platform === undefined ? report : { ...report, runtime: { ...report.runtime, platform } };
}

async function inspectOne(
  origin: InspectingOrigin,
  repository: Repository,
  found: OriginManifest,
  manifest: Manifest,
  options: Options,
): Promise<ImageReport> {
  const { config, layers, unsizedLayers } = manifest;
  const parts = [...(config === undefined ? [] : [config]), ...layers];
  const unsized = unsizedLayers.map((digest) => ({ digest, mediaType: '', sizeBytes: 0 }));
  const runtime = config === undefined ? undefined : await readRuntime(origin, repository, config, options);
  return {
    digest: found.digest,
    mediaType: found.mediaType,
    sizeBytes: found.bytes.length,
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    annotations: manifest.annotations,
    contentBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    ...(config === undefined ? {} : { config: partOf(config) }),
    layers: [...unsized, ...layers.map(partOf)],
    ...(runtime === undefined ? {} : { runtime }),
  };
}

function partOf({ digest, mediaType, sizeBytes }: Descriptor): PartReport {
  return { digest, mediaType, sizeBytes };
}

async function readRuntime(
  origin: InspectingOrigin,
  repository: Repository,
  config: Descriptor,
  options: Options,
): Promise<RuntimeReport | undefined> {
  const { digest, mediaType, sizeBytes } = config;
  if (!/\b(?:image\.config|container\.image)\.v1\+json$/.test(mediaType)) return undefined;
  if (sizeBytes === 0 || sizeBytes > MAX_CONFIG_BYTES) return undefined;
  await using blob = await origin.openBlob(repository, digest, options);
  if (blob === undefined) {
    throw imageError('ERR_COPY_INCOMPLETE', `${formatRepository(repository)} lacks the configuration ${digest}`);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of blob.body) {
    length += chunk.length;
    if (length > MAX_CONFIG_BYTES) return undefined;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
    throw imageError(
      'ERR_COPY_INCOMPLETE',
      `what ${formatRepository(repository)} gives as ${digest} is something else`,
    );
  }
  return runtimeOf(bytes);
}

/** What nobody can read is left out: any program may have written it. */
function runtimeOf(bytes: Buffer): RuntimeReport | undefined {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  const read = runtimeShape.safeParse(document);
  if (!read.success) return undefined;
  const { created, os, architecture, variant, config } = read.data;
  const platform = formatPlatform({ os: os ?? '', architecture: architecture ?? '', ...(variant ? { variant } : {}) });
  return { created: created ?? undefined, platform, ...processOf(config ?? {}) };
}

function processOf(config: NonNullable<z.output<typeof runtimeShape>['config']>): RuntimeReport {
  const { User, Entrypoint, Cmd, WorkingDir, Env, ExposedPorts, Labels } = config;
  return {
    user: User || undefined,
    entrypoint: Entrypoint ?? undefined,
    command: Cmd ?? undefined,
    workingDirectory: WorkingDir || undefined,
    environment: Env ?? undefined,
    ports: ExposedPorts ? Object.keys(ExposedPorts) : undefined,
    labels: Labels ?? undefined,
  };
}
