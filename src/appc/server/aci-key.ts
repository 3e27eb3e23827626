/**
 * Where a seed keeps an app container image: as an artifact in a repository of its own, so that all that holds for images
 * (sharing, garbage, deletes, storage drivers) holds for it too. The repository follows from the name, the tag from
 * the labels by which it is asked for.
 */
import { isRepositoryName, type RepositoryName, type Tag } from '../../oci/name.ts';
import { appcError, quoted } from '../errors.ts';
import type { AcName } from '../values/ac-name.ts';
import type { ImageManifest } from '../values/image-manifest.ts';

/** By what an image is asked for. */
export interface AciKey {
  readonly name: AcName;
  readonly version: string;
  readonly os: string;
  readonly arch: string;
}

/** Below it stand the repositories of app container images, and nothing else: what is in them was checked. */
export const APPC_NAMESPACE = 'appc';

const MAX_TAG_LENGTH = 128;

/**
 * The repository of a name: `appc/example.com/app`. A tilde, which repositories cannot have, becomes two underscores, which
 * names cannot have.
 * @throws {DockyardError} ERR_AC_NAME_INVALID for a name that is too long with the prefix
 */
export function repositoryOf(name: AcName): RepositoryName {
  const text = `${APPC_NAMESPACE}/${name.replaceAll('~', '__')}`;
  if (isRepositoryName(text)) return text;
  throw appcError('ERR_AC_NAME_INVALID', `${quoted(name)} is too long a name to be kept here`);
}

/**
 * The tag of the labels: `1.0__linux__amd64`; what tags cannot have is written as `_` and two hexadecimal digits.
 * @throws {DockyardError} ERR_AC_NAME_INVALID for labels that are too long
 */
export function tagOf({ version, os, arch }: Omit<AciKey, 'name'>): Tag {
  const tag = [version, os, arch].map((part) => escapePart(part)).join('__');
  if (tag.length <= MAX_TAG_LENGTH) return tag as Tag;
  throw appcError('ERR_AC_NAME_INVALID', `version, os and arch are together too long to be kept here`);
}

/** The labels that a tag was made of; `undefined` for any other tag. */
export function labelsOfTag(tag: string): Omit<AciKey, 'name'> | undefined {
  const parts = tag.split('__').map((part) => unescapePart(part));
  const [version, os, arch] = parts;
  if (parts.length !== 3 || version === undefined || os === undefined || arch === undefined) return undefined;
  return { version, os, arch };
}

/** The key of an image. @throws {DockyardError} ERR_ACI_MANIFEST_INVALID when it lacks one of the labels */
export function keyOfManifest({ name, labels }: Pick<ImageManifest, 'name' | 'labels'>): AciKey {
  const need = (label: string): string => {
    const value = labels.get(label);
    if (value !== undefined) return value;
    throw appcError('ERR_ACI_MANIFEST_INVALID', `the image has no label '${label}', by which it would be found here`);
  };
  return { name, version: need('version'), os: need('os'), arch: need('arch') };
}

function escapePart(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  return bytes.replaceAll(/[^A-Za-z0-9.-]|^[.-]/g, (char) => `_${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function unescapePart(text: string): string | undefined {
  if (text === '' || !/^(?:[A-Za-z0-9.-]|_[0-9a-f]{2})+$/.test(text)) return undefined;
  const bytes = text.replaceAll(/_([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
