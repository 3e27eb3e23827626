/**
 * The manifest inside an app container image. What this project does not use is only checked for its shape.
 * @see appc/spec v0.8.11, spec/aci.md "Image Manifest Schema"
 */
import { asError, isDockyardError } from '../../oci/error.ts';
import { isJsonObject, parseStrictJson, type JsonObject, type JsonValue } from '../../oci/strict-json.ts';
import { appcError, quoted } from '../errors.ts';
import { isAcName, parseAcName, parseLabels, type AcName, type Labels } from './ac-name.ts';
import { isImageId } from './image-id.ts';

/** What is known of an image from its manifest. */
export interface ImageManifest {
  readonly name: AcName;
  readonly labels: Labels;
  readonly acVersion: string;
  readonly dependencies: readonly ImageDependency[];
  /** The manifest as it stands in the image. */
  readonly bytes: Buffer;
}

/** Another image that this one stands on. */
export interface ImageDependency {
  readonly imageName: AcName;
  readonly imageId: string | undefined;
  readonly labels: Labels;
}

/** Larger manifests are refused; a path whitelist of ten thousand files has about one mebibyte. */
export const MAX_IMAGE_MANIFEST_BYTES = 4 * 1024 * 1024;

const SEMVER = /^\d{1,9}\.\d{1,9}\.\d{1,9}(?:[-+][0-9A-Za-z.+-]{1,128})?$/;

/** Reads an image manifest. @throws {DockyardError} ERR_ACI_MANIFEST_INVALID */
export function parseImageManifest(bytes: Buffer): ImageManifest {
  if (bytes.length > MAX_IMAGE_MANIFEST_BYTES) throw invalid(`it is larger than ${MAX_IMAGE_MANIFEST_BYTES} bytes`);
  const document = parseDocument(bytes);
  if (document['acKind'] !== 'ImageManifest') throw invalid("its 'acKind' is not 'ImageManifest'");
  const { acVersion, name } = document;
  if (typeof acVersion !== 'string' || !SEMVER.test(acVersion)) throw invalid("its 'acVersion' is not a version");
  if (typeof name !== 'string') throw invalid("it has no 'name'");
  if (document['app'] !== undefined && !isJsonObject(document['app'])) throw invalid("its 'app' is no object");
  const whitelist = listOf(document, 'pathWhitelist');
  if (!whitelist.every((path) => typeof path === 'string')) throw invalid("its 'pathWhitelist' holds more than text");
  pairsOf(listOf(document, 'annotations'), 'annotations');
  return {
    name: inManifest(() => parseAcName(name)),
    labels: labelsOf(document),
    acVersion,
    dependencies: listOf(document, 'dependencies').map((dependency) => dependencyOf(dependency)),
    bytes,
  };
}

function parseDocument(bytes: Buffer): JsonObject {
  let document: JsonValue;
  try {
    document = parseStrictJson(bytes);
  } catch (cause) {
    throw invalid(asError(cause).message, cause);
  }
  if (!isJsonObject(document)) throw invalid('it is no JSON object');
  return document;
}

function dependencyOf(value: JsonValue): ImageDependency {
  if (!isJsonObject(value)) throw invalid('a dependency is no object');
  const { imageName, imageID, size } = value;
  if (typeof imageName !== 'string' || !isAcName(imageName)) throw invalid("a dependency has no proper 'imageName'");
  if (imageID !== undefined && (typeof imageID !== 'string' || !isImageId(imageID)))
    throw invalid("the 'imageID' of a dependency is not sha512- and 128 hexadecimal digits");
  if (size !== undefined && (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0))
    throw invalid("the 'size' of a dependency is not a number of bytes");
  return { imageName, imageId: imageID, labels: labelsOf(value) };
}

function labelsOf(object: JsonObject): Labels {
  return inManifest(() => parseLabels(pairsOf(listOf(object, 'labels'), 'labels')));
}

function listOf(object: JsonObject, key: string): readonly JsonValue[] {
  const value = object[key] ?? [];
  if (!Array.isArray(value)) throw invalid(`its ${quoted(key)} is no list`);
  return value as readonly JsonValue[];
}

function pairsOf(values: readonly JsonValue[], where: string): [string, string][] {
  return values.map((value) => {
    const { name, value: text } = isJsonObject(value) ? value : {};
    if (typeof name !== 'string' || typeof text !== 'string') throw invalid(`its '${where}' are not names and values`);
    return [name, text];
  });
}

function inManifest<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (cause) {
    throw isDockyardError(cause) ? invalid(cause.message, cause) : cause;
  }
}

function invalid(what: string, cause?: unknown): Error {
  return appcError('ERR_ACI_MANIFEST_INVALID', `the image manifest is not valid: ${what}`, { cause });
}
