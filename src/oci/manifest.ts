/**
 * Manifests: read for what they refer to, never written again; the bytes that were pushed are the manifest.
 * @see OCI image-spec v1.1, manifest.md and image-index.md; distribution v2.8, docs/spec/manifest-v2-2.md
 */
import { isDigest, type Digest } from './digest.ts';
import {
  isList,
  optionalString,
  parseAnnotations,
  parseDescriptor,
  parseDescriptors,
  type Annotations,
  type Descriptor,
} from './descriptor.ts';
import { ociError } from './errors.ts';
import { bareMediaType, MEDIA_TYPES } from './media-type.ts';
import { isJsonObject, parseStrictJson, type JsonObject } from './strict-json.ts';

/** Larger manifests are refused; the specification asks registries to take at least this much. */
export const MAX_MANIFEST_SIZE_BYTES = 4 * 1024 * 1024;

/** What a manifest refers to. */
export interface Manifest {
  readonly mediaType: string;
  /** An image has layers, an index has manifests, the oldest Docker form has unsized layers. */
  readonly kind: 'image' | 'index' | 'schema1';
  readonly config?: Descriptor;
  readonly layers: readonly Descriptor[];
  /** The children of an index. */
  readonly manifests: readonly Descriptor[];
  /** Layers of a schema 1 manifest, lowest first, which names no sizes; empty for the other kinds. */
  readonly unsizedLayers: readonly Digest[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations: Annotations;
}

const KINDS: Readonly<Record<string, Manifest['kind']>> = {
  [MEDIA_TYPES.ociManifest]: 'image',
  [MEDIA_TYPES.dockerManifest]: 'image',
  [MEDIA_TYPES.ociIndex]: 'index',
  [MEDIA_TYPES.dockerManifestList]: 'index',
  [MEDIA_TYPES.dockerSchema1]: 'schema1',
  [MEDIA_TYPES.dockerSchema1Signed]: 'schema1',
};

/** True when `parseManifest` knows the type; parameters and letter case do not matter. */
export function isManifestMediaType(mediaType: string): boolean {
  return Object.hasOwn(KINDS, bareMediaType(mediaType));
}

/**
 * Reads a manifest from untrusted bytes.
 * @param contentType the Content-Type under which the bytes came
 * @throws {DockyardError} ERR_MANIFEST_INVALID when it is larger than 4 MiB, of an unknown type, not strict JSON,
 *   or says one thing in one place and another elsewhere (CVE-2021-41190)
 */
export function parseManifest(bytes: Uint8Array, contentType: string): Manifest {
  const mediaType = bareMediaType(contentType);
  const kind = Object.hasOwn(KINDS, mediaType) ? KINDS[mediaType] : undefined;
  if (kind === undefined) throw ociError('ERR_MANIFEST_INVALID', `'${mediaType.slice(0, 160)}' is no manifest type`);
  const document = parseDocument(bytes);
  const stated = optionalString(document, 'mediaType', 'the manifest');
  if (stated !== undefined && stated !== mediaType) {
    throw ociError(
      'ERR_MANIFEST_INVALID',
      `the manifest calls itself '${stated.slice(0, 160)}' and came as '${mediaType}'`,
    );
  }
  refuseOtherKind(document, kind);
  return kind === 'schema1' ? readSchema1(document, mediaType) : readSchema2(document, mediaType, kind);
}

function parseDocument(bytes: Uint8Array): JsonObject {
  if (bytes.length > MAX_MANIFEST_SIZE_BYTES) {
    throw ociError(
      'ERR_MANIFEST_INVALID',
      `a manifest of ${bytes.length} bytes is larger than ${MAX_MANIFEST_SIZE_BYTES}`,
    );
  }
  let document;
  try {
    document = parseStrictJson(bytes);
  } catch (cause) {
    throw ociError('ERR_MANIFEST_INVALID', 'the manifest is not strict JSON', { cause });
  }
  if (!isJsonObject(document)) throw ociError('ERR_MANIFEST_INVALID', 'the manifest is not a JSON object');
  return document;
}

/** A document that could be read as two kinds would be one image to one client and another to the next. */
const FOREIGN_FIELDS: Readonly<Record<Manifest['kind'], readonly string[]>> = {
  image: ['manifests', 'fsLayers'],
  index: ['layers', 'config', 'fsLayers'],
  schema1: ['layers', 'config', 'manifests'],
};

function refuseOtherKind(document: JsonObject, kind: Manifest['kind']): void {
  const foreign = FOREIGN_FIELDS[kind].find((field) => Object.hasOwn(document, field));
  if (foreign !== undefined)
    throw ociError('ERR_MANIFEST_INVALID', `a manifest of this type must not have '${foreign}'`);
  const version = kind === 'schema1' ? 1 : 2;
  if (document['schemaVersion'] !== version)
    throw ociError('ERR_MANIFEST_INVALID', `its schemaVersion is not ${version}`);
}

function readSchema2(document: JsonObject, mediaType: string, kind: 'image' | 'index'): Manifest {
  const required = kind === 'image' ? 'layers' : 'manifests';
  if (!Object.hasOwn(document, required)) throw ociError('ERR_MANIFEST_INVALID', `the manifest has no '${required}'`);
  const config = kind === 'image' ? parseDescriptor(document['config'], 'config') : undefined;
  const subject = document['subject'] ?? undefined;
  const artifactType = optionalString(document, 'artifactType', 'the manifest');
  return {
    mediaType,
    kind,
    ...(config === undefined ? {} : { config }),
    layers: parseDescriptors(document['layers'], 'layers'),
    manifests: parseDescriptors(document['manifests'], 'manifests'),
    unsizedLayers: [],
    ...(subject === undefined ? {} : { subject: parseDescriptor(subject, 'subject') }),
    ...(artifactType === undefined ? {} : { artifactType }),
    annotations: parseAnnotations(document['annotations'], 'the manifest'),
  };
}

function readSchema1(document: JsonObject, mediaType: string): Manifest {
  const { fsLayers } = document;
  if (!isList(fsLayers)) throw ociError('ERR_MANIFEST_INVALID', `the manifest has no 'fsLayers'`);
  const unsizedLayers = fsLayers.map((layer, index) => {
    const digest = isJsonObject(layer) ? layer['blobSum'] : undefined;
    if (typeof digest === 'string' && isDigest(digest)) return digest;
    throw ociError('ERR_MANIFEST_INVALID', `fsLayers[${index}] has no sha256 or sha512 blobSum`);
  });
  // Schema 1 lists the newest layer first.
  unsizedLayers.reverse();
  return { mediaType, kind: 'schema1', layers: [], manifests: [], unsizedLayers, annotations: {} };
}
