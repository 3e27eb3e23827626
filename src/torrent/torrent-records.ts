/**
 * What a node keeps of the torrents that it made: a file for each, with the info dictionary and what its files are. So nothing
 * is hashed twice, and what was shared before a restart is shared after it.
 *
 *   torrents/<blob|image>-<alg>-<hex>   = 32 bytes SHA-256 of the rest, then a bencoded dictionary:
 *     files   list of { bytes } for what is at hand, or { digest, length } for a blob, in the order of the torrent
 *     info    the info dictionary, bencoded, as a string
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { decodeBencode, encodeBencode, type BencodeValue } from '../bencode/bencode.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import type { LayoutFile } from './image-layout.ts';
import type { TorrentInfo } from './metainfo.ts';
import { parseTorrentInfo } from './parse-metainfo.ts';

/** What a torrent is of: one blob, or the image of a manifest. */
export interface TorrentSubject {
  readonly kind: 'blob' | 'image';
  readonly digest: Digest;
}

/** A torrent that was made. */
export interface MadeTorrent {
  readonly subject: TorrentSubject;
  readonly info: TorrentInfo;
  readonly files: readonly LayoutFile[];
}

const CHECKSUM_BYTES = 32;
const NAME_PATTERN = /^(blob|image)-(sha256|sha512)-([a-f0-9]+)$/;

/** The folder of the records. */
export class TorrentRecords {
  readonly #folder: string;
  readonly #log: Logger;

  constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  /** All records that can be read, the least recently used first; what cannot be read is removed. */
  async load(): Promise<MadeTorrent[]> {
    const found: { made: MadeTorrent; usedAtMs: number }[] = [];
    for (const name of await this.#names()) {
      const subject = readSubject(name);
      const path = join(this.#folder, name);
      const made = subject === undefined ? undefined : await this.#read(path, subject);
      if (made === undefined) await rm(path, { force: true });
      else found.push({ made, usedAtMs: (await stat(path)).mtimeMs });
    }
    return found.sort((a, b) => a.usedAtMs - b.usedAtMs).map(({ made }) => made);
  }

  /** Keeps a torrent durably. */
  async save({ subject, info, files }: MadeTorrent): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const recipe = files.map(({ bytes, digest, sizeBytes }) =>
      digest === undefined ? { bytes } : { digest, length: sizeBytes },
    );
    const body = encodeBencode({ files: recipe, info: info.bytes });
    const temporary = join(this.#folder, `new-${randomBytes(6).toString('hex')}`);
    try {
      await using handle = await open(temporary, 'wx');
      await handle.writeFile(Buffer.concat([checksum(body), body]));
      await handle.sync();
      await rename(temporary, this.#path(subject));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** Notes that a torrent was asked for. */
  async touch(subject: TorrentSubject, nowMs: number): Promise<void> {
    // Whether it is there any more is of no importance to anyone.
    await utimes(this.#path(subject), nowMs / 1000, nowMs / 1000).catch(() => undefined);
  }

  async remove(subject: TorrentSubject): Promise<void> {
    await rm(this.#path(subject), { force: true });
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#folder);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
  }

  async #read(path: string, subject: TorrentSubject): Promise<MadeTorrent | undefined> {
    try {
      const bytes = await readFile(path);
      const body = bytes.subarray(CHECKSUM_BYTES);
      if (!checksum(body).equals(bytes.subarray(0, CHECKSUM_BYTES))) throw new SyntaxError('its checksum is wrong');
      return decodeRecord(subject, body);
    } catch (error) {
      this.#log.warn({ err: error, path }, 'torrent record damaged');
      return undefined;
    }
  }

  #path({ kind, digest }: TorrentSubject): string {
    return join(this.#folder, `${kind}-${digest.replace(':', '-')}`);
  }
}

/** A text that is the same for the same subject alone. */
export function subjectKey({ kind, digest }: TorrentSubject): string {
  return `${kind} ${digest}`;
}

function checksum(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest();
}

function readSubject(name: string): TorrentSubject | undefined {
  const [, kind, algorithm, hex] = NAME_PATTERN.exec(name) ?? [];
  const digest = `${algorithm}:${hex}`;
  return (kind === 'blob' || kind === 'image') && isDigest(digest) ? { kind, digest } : undefined;
}

function decodeRecord(subject: TorrentSubject, body: Buffer): MadeTorrent {
  const record = decodeBencode(body);
  const [infoBytes, recipe] = record instanceof Map ? [record.get('info'), record.get('files')] : [];
  if (!Buffer.isBuffer(infoBytes) || !Array.isArray(recipe)) throw new SyntaxError('it is no torrent record');
  const info = parseTorrentInfo(infoBytes);
  const files = info.files.map(({ path, sizeBytes }, index) => decodeFile(path, sizeBytes, recipe[index]));
  return { subject, info, files };
}

function decodeFile(path: readonly string[], sizeBytes: number, entry: BencodeValue | undefined): LayoutFile {
  const [bytes, text] = entry instanceof Map ? [entry.get('bytes'), entry.get('digest')] : [];
  const digest = Buffer.isBuffer(text) ? text.toString('latin1') : '';
  if (isDigest(digest)) return { path, sizeBytes, bytes: undefined, digest };
  if (Buffer.isBuffer(bytes) && bytes.length === sizeBytes) return { path, sizeBytes, bytes, digest: undefined };
  throw new SyntaxError('a file of the record is neither at hand nor a blob');
}
