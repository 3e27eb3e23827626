/**
 * What may stand in an app container image: one file `manifest`, one folder `rootfs` and what is below it, each path once.
 * Nobody who unpacks an image that passed here with its paths as they are writes outside of its folder: no path leaves it,
 * none leads through a link, and no link names a place above `rootfs`, which is the root of the container.
 * @see appc/spec v0.8.11, spec/aci.md "Image Layout"
 */
import { appcError, quoted } from '../errors.ts';
import type { TarEntry } from './tar-reader.ts';

/** How much of an image's tree is looked at. */
export interface LayoutLimits {
  readonly maxEntries: number;
  /** All paths together; they are kept in memory until the image was read. */
  readonly maxPathBytes: number;
}

/** Linux takes no longer paths. */
const MAX_PATH_BYTES = 4096;

/** What is known of a path; `implied` is a folder of which only what is in it was seen so far. */
type Kind = 'directory' | 'file' | 'link' | 'special' | 'implied';

/** Takes the entries of one image in their order. Pure. */
export class AciLayout {
  readonly #limits: LayoutLimits;
  readonly #kinds = new Map<string, Kind>();
  #pathBytes = 0;

  constructor(limits: LayoutLimits) {
    this.#limits = limits;
  }

  /** Entries that were seen. */
  get entries(): number {
    return this.#kinds.size;
  }

  /**
   * Checks an entry. @returns true for the image manifest
   * @throws {DockyardError} ERR_ACI_UNSAFE, ERR_ACI_INVALID, ERR_ACI_TOO_LARGE
   */
  add(entry: Omit<TarEntry, 'content'>): boolean {
    const path = normalPath(entry.path);
    // Some archives begin with their own folder.
    if (path === '') {
      if (entry.type !== 'directory') throw unsafe(entry.path, 'has no name');
      return false;
    }
    const isManifest = path === 'manifest';
    if (!isManifest && path !== 'rootfs' && !path.startsWith('rootfs/'))
      throw unsafe(entry.path, 'stands beside manifest and rootfs');
    if (isManifest && entry.type !== 'file') throw invalid('its manifest is no file');
    // Some unpackers would make a folder of it.
    if (entry.type === 'file' && entry.path.endsWith('/'))
      throw unsafe(entry.path, 'is a file with the name of a folder');
    if (path === 'rootfs' && entry.type !== 'directory') throw unsafe(entry.path, 'is no folder');
    this.#requireTargetInside(path, entry);
    this.#requireFoldersAbove(path, entry.path);
    this.#note(path, entry.path, kindOf(entry));
    return isManifest;
  }

  /** @throws {DockyardError} ERR_ACI_INVALID when something is missing */
  finish(): void {
    if (!this.#kinds.has('manifest')) throw invalid('it has no manifest');
    if (this.#kinds.get('rootfs') !== 'directory') throw invalid('it has no folder rootfs');
  }

  #requireTargetInside(path: string, { type, linkTarget, path: written }: Omit<TarEntry, 'content'>): void {
    if (type === 'hard-link') {
      // It must be there already, or an unpacker would look for it elsewhere.
      const target = normalPath(linkTarget);
      if (this.#kinds.get(target) !== 'file' || target === 'manifest')
        throw unsafe(written, 'is a hard link to what is no file before it in rootfs');
      return;
    }
    if (type !== 'symbolic-link') return;
    if (linkTarget === '' || linkTarget.length > MAX_PATH_BYTES || linkTarget.includes('\0'))
      throw unsafe(written, 'is a symbolic link to nowhere');
    const folders = linkTarget.startsWith('/') ? [] : path.split('/').slice(1, -1);
    let depth = folders.length;
    for (const part of linkTarget.split('/')) {
      if (part === '..') depth -= 1;
      else if (part !== '' && part !== '.') depth += 1;
      if (depth < 0) throw unsafe(written, 'is a symbolic link out of rootfs');
    }
  }

  /** Every folder above is one, or is not known yet and so has to become one. */
  #requireFoldersAbove(path: string, written: string): void {
    for (let end = path.lastIndexOf('/'); end !== -1; end = path.lastIndexOf('/', end - 1)) {
      const folder = path.slice(0, end);
      const kind = this.#kinds.get(folder);
      if (kind === 'directory' || kind === 'implied') return;
      if (kind !== undefined) throw unsafe(written, `lies behind ${quoted(shown(folder))}, which is no folder`);
      this.#keep(folder, 'implied');
    }
  }

  #note(path: string, written: string, kind: Kind): void {
    const before = this.#kinds.get(path);
    if (before === 'implied') {
      if (kind !== 'directory') throw unsafe(written, 'is no folder, and yet other entries lie in it');
      this.#kinds.set(path, kind);
      return;
    }
    if (before !== undefined) throw unsafe(written, 'stands twice in the archive');
    this.#keep(path, kind);
  }

  #keep(path: string, kind: Kind): void {
    this.#kinds.set(path, kind);
    this.#pathBytes += path.length;
    const { maxEntries, maxPathBytes } = this.#limits;
    if (this.#kinds.size <= maxEntries && this.#pathBytes <= maxPathBytes) return;
    throw appcError('ERR_ACI_TOO_LARGE', `the image has more than ${maxEntries} entries, or too long paths`);
  }
}

function kindOf({ type, path }: Omit<TarEntry, 'content'>): Kind {
  switch (type) {
    case 'file':
    case 'hard-link':
      return 'file';
    case 'directory':
      return 'directory';
    case 'symbolic-link':
      return 'link';
    case 'fifo':
      return 'special';
    case 'character-device':
    case 'block-device':
      throw unsafe(path, 'is a device');
  }
}

/** A path without `.` and doubled slashes; `''` for the folder of the archive itself. @throws {DockyardError} ERR_ACI_UNSAFE */
function normalPath(path: string): string {
  if (path.length > MAX_PATH_BYTES) throw unsafe(path, 'is longer than paths can be');
  if (path.startsWith('/')) throw unsafe(path, 'begins at the root of the file system');
  if (path.includes('\0')) throw unsafe(path, 'has a zero byte in its name');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw unsafe(path, 'leads upwards');
  return parts.join('/');
}

/** Bytes that were kept as latin1, as the text that they most likely are. */
function shown(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8');
}

function unsafe(path: string, what: string): Error {
  return appcError('ERR_ACI_UNSAFE', `the image is not safe to unpack: ${quoted(shown(path))} ${what}`);
}

function invalid(what: string): Error {
  return appcError('ERR_ACI_INVALID', `this is no app container image: ${what}`);
}
