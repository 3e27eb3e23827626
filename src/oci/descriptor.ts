/**
 * Descriptors: how a manifest names the content it is made of.
 * @see OCI image-spec v1.1, descriptor.md
 */
import { isDigest, type Digest } from './digest.ts';
import { ociError } from './errors.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './strict-json.ts';

/** For which machine the content is. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

/** Free remarks on content. */
export type Annotations = Readonly<Record<string, string>>;

/** What is known of content before it is fetched. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** A safe integer, zero or more. */
  readonly sizeBytes: number;
  readonly annotations: Annotations;
  readonly artifactType?: string;
  readonly platform?: Platform;
  /** Where else the content may be had; for layers that are not pushed. Never followed unchecked. */
  readonly urls: readonly string[];
}

/**
 * Reads a descriptor from untrusted JSON.
 * @param where how an error names the place: `layers[3]`
 * @throws {DockyardError} ERR_MANIFEST_INVALID
 */
export function parseDescriptor(value: JsonValue | undefined, where: string): Descriptor {
  if (!isJsonObject(value)) throw ociError('ERR_MANIFEST_INVALID', `${where} is not an object`);
  const { digest, size } = value;
  const mediaType = optionalString(value, 'mediaType', where);
  if (mediaType === undefined || mediaType === '') throw ociError('ERR_MANIFEST_INVALID', `${where} has no mediaType`);
  if (typeof digest !== 'string' || !isDigest(digest)) {
    throw ociError('ERR_MANIFEST_INVALID', `${where} has no sha256 or sha512 digest`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw ociError('ERR_MANIFEST_INVALID', `${where} has no size that is a whole number, zero or more`);
  }
  const artifactType = optionalString(value, 'artifactType', where);
  const platform = parsePlatform(value['platform'], where);
  return {
    mediaType,
    digest,
    sizeBytes: size,
    annotations: parseAnnotations(value['annotations'], where),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(platform === undefined ? {} : { platform }),
    urls: parseUrls(value['urls'], where),
  };
}

/**
 * Reads a list of descriptors; `null` and absence are an empty list, as Go programs write them.
 * @throws {DockyardError} ERR_MANIFEST_INVALID
 */
export function parseDescriptors(value: JsonValue | undefined, where: string): readonly Descriptor[] {
  if (value === undefined || value === null) return [];
  if (!isList(value)) throw ociError('ERR_MANIFEST_INVALID', `${where} is not a list`);
  return value.map((item, index) => parseDescriptor(item, `${where}[${index}]`));
}

/**
 * Reads annotations; `null` and absence are none.
 * @throws {DockyardError} ERR_MANIFEST_INVALID
 */
export function parseAnnotations(value: JsonValue | undefined, where: string): Annotations {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw ociError('ERR_MANIFEST_INVALID', `the annotations of ${where} are not an object`);
  const annotations: [string, string][] = [];
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw ociError('ERR_MANIFEST_INVALID', `an annotation of ${where} is not a string`, { details: { key } });
    }
    annotations.push([key, text]);
  }
  return Object.fromEntries(annotations);
}

/**
 * A string field, or `undefined` when it is absent.
 * @throws {DockyardError} ERR_MANIFEST_INVALID when it is there and no string
 */
export function optionalString(object: JsonObject, key: string, where: string): string | undefined {
  const value = object[key];
  if (value === undefined || typeof value === 'string') return value;
  throw ociError('ERR_MANIFEST_INVALID', `the ${key} of ${where} is not a string`);
}

/** True for a JSON array. */
export function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function parsePlatform(value: JsonValue | undefined, where: string): Platform | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw ociError('ERR_MANIFEST_INVALID', `the platform of ${where} is not an object`);
  const variant = optionalString(value, 'variant', where);
  const osVersion = optionalString(value, 'os.version', where);
  return {
    os: optionalString(value, 'os', where) ?? '',
    architecture: optionalString(value, 'architecture', where) ?? '',
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
  };
}

function parseUrls(value: JsonValue | undefined, where: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!isList(value) || !value.every((url) => typeof url === 'string')) {
    throw ociError('ERR_MANIFEST_INVALID', `the urls of ${where} are not a list of strings`);
  }
  return value;
}
