/** Names of files in torrents, which come from strangers and become paths on disk. */
import { torrentError } from './errors.ts';

/** The longest name that common file systems keep. */
const MAX_NAME_BYTES = 255;

/** Folders inside of each other; image layouts have three. */
const MAX_PATH_DEPTH = 32;

/** The longest path below the torrent's folder, so that a whole path stays below Linux's 4096. */
const MAX_PATH_BYTES = 2048;

/** Control characters would play tricks on a terminal; the separators of any system would leave the folder. */
// oxlint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f\u007f/\\]/;

/** Checks one name. @throws {DockyardError} ERR_METAINFO_UNSAFE */
export function assertSafeName(name: string): void {
  const why = faultOfName(name);
  if (why !== undefined) throw unsafe(`'${printable(name)}' ${why}`);
}

/** Checks the path of a file. @throws {DockyardError} ERR_METAINFO_UNSAFE */
export function assertSafePath(path: readonly string[]): void {
  if (path.length === 0) throw unsafe('a file has no name');
  if (path.length > MAX_PATH_DEPTH) throw unsafe(`a file lies ${path.length} folders deep`);
  for (const name of path) assertSafeName(name);
  if (Buffer.byteLength(path.join('/')) > MAX_PATH_BYTES) throw unsafe('the path of a file is too long');
}

/** Checks that no file lies in the place of another, or of a folder. @throws {DockyardError} ERR_METAINFO_UNSAFE */
export function assertApart(paths: Iterable<readonly string[]>): void {
  const files = new Set<string>();
  const folders = new Set<string>();
  for (const path of paths) {
    const file = path.join('/');
    if (files.has(file)) throw unsafe(`'${printable(file)}' stands twice among the files`);
    files.add(file);
    for (let depth = 1; depth < path.length; depth += 1) folders.add(path.slice(0, depth).join('/'));
  }
  for (const folder of folders)
    if (files.has(folder)) throw unsafe(`'${printable(folder)}' is both a file and a folder`);
}

function faultOfName(name: string): string | undefined {
  if (name === '') return 'is an empty name of a file or folder';
  if (name === '.' || name === '..') return 'leads out of its folder, or to the folder itself';
  if (FORBIDDEN.test(name)) return 'has a separator of paths or a control character in it';
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `is longer than ${MAX_NAME_BYTES} bytes`;
  return undefined;
}

function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.slice(0, 160).replaceAll(/[\u0000-\u001f\u007f]/g, '?');
}

function unsafe(why: string): Error {
  return torrentError('ERR_METAINFO_UNSAFE', `the torrent is refused: ${why}`);
}
