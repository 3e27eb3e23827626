/** The paths of the server: which image a URL means. Pure; everything in a URL is untrusted. */
import { appcError, quoted } from '../errors.ts';
import { isAcName, parseAcName, parseLabels } from '../values/ac-name.ts';
import type { AciExtension } from '../discovery/discovery-template.ts';
import type { AciKey } from './aci-key.ts';
import { APPC_PATHS } from './discovery-page.ts';

/** A file of an image. */
export interface AciFile {
  readonly key: AciKey;
  readonly extension: AciExtension;
}

const FILE_NAME = /^(.+?)\.(aci|aci\.asc)$/;

/** Simple discovery has no mark between name and version; so many places are tried. */
const MAX_SPLITS = 16;

/**
 * The file that stands at `NAME/VERSION/OS/ARCH.EXT`.
 * @throws {DockyardError} ERR_AC_NAME_INVALID
 */
export function parseFilePath(path: string): AciFile {
  const [, rest = '', extension] = FILE_NAME.exec(path) ?? [];
  if (extension !== 'aci' && extension !== 'aci.asc') throw invalid(path, 'it ends neither in .aci nor in .aci.asc');
  return { key: parseKeyPath(rest), extension };
}

/** The image that `NAME/VERSION/OS/ARCH` means. @throws {DockyardError} ERR_AC_NAME_INVALID */
export function parseKeyPath(path: string): AciKey {
  const parts = path.split('/');
  const labels = parts.splice(-3).map((part) => decoded(part));
  const [version = '', os = '', arch = ''] = labels;
  if (parts.length === 0) throw invalid(path, 'it is not NAME/VERSION/OS/ARCH');
  parseLabels([
    ['version', version],
    ['os', os],
    ['arch', arch],
  ]);
  // No character of a name needs an escape, so an escaped one is none of a name.
  return { name: parseAcName(parts.join('/')), version, os, arch };
}

/** Where a file of an image stands. */
export function filePath({ key, extension }: AciFile): string {
  const labels = [key.version, key.os, key.arch].map((part) => encodeURIComponent(part)).join('/');
  return `${APPC_PATHS.images}/${key.name}/${labels}.${extension}`;
}

/**
 * The files that `/NAME-VERSION-OS-ARCH.EXT` at a host may mean, those with the longest name first.
 * @see appc/spec v0.6.1, spec/discovery.md "Simple Discovery"
 */
export function simpleCandidates(host: string, path: string): readonly AciFile[] {
  const [, rest = '', extension] = FILE_NAME.exec(path) ?? [];
  const [, head = '', os = '', arch = ''] = /^(.+)-([^-/]+)-([^-/]+)$/.exec(rest) ?? [];
  if ((extension !== 'aci' && extension !== 'aci.asc') || head === '') return [];
  const candidates: AciFile[] = [];
  for (let dash = head.lastIndexOf('-'); dash > head.lastIndexOf('/'); dash = head.lastIndexOf('-', dash - 1)) {
    const name = `${host}${head.slice(0, dash)}`;
    const version = decodedOr(head.slice(dash + 1));
    if (isAcName(name) && version !== undefined && version !== '')
      candidates.push({ key: { name, version, os, arch }, extension });
    if (candidates.length === MAX_SPLITS) break;
  }
  return candidates;
}

function decoded(part: string): string {
  const text = decodedOr(part);
  if (text !== undefined) return text;
  throw invalid(part, 'its escapes are malformed');
}

function decodedOr(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

function invalid(path: string, what: string): Error {
  return appcError('ERR_AC_NAME_INVALID', `${quoted(path)} is no path of an app container image: ${what}`);
}
